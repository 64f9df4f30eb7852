import { assert, describe, it } from "@effect/vitest"
import * as Control from "../../src/protocol/ServerMachine.ts"
import type { ControlReason } from "../../src/server/Statistics.ts"

const fresh = Control.initial
const afterResponse: Control.State = { _tag: "Ready", staleCancel: true, refusing: undefined }
const afterCancel: Control.State = { _tag: "Ready", staleCancel: false, refusing: undefined }
const overloaded = Control.refusing("overloaded")
const initialising: Control.State = { _tag: "Initialising", refusing: undefined }
const responding: Control.State = { _tag: "Responding", refusing: undefined }
const stopping = (answer: Control.Answer, refusing?: Control.ServerCode): Control.State => ({
  _tag: "Stopping",
  answer,
  refusing
})
const draining = <S extends Control.State>(state: S): S => ({ ...state, refusing: "shutting_down" })
const closed = (reason: ControlReason, detail: string): Control.State => ({
  _tag: "Closed",
  reason,
  detail
})

const acknowledge: Control.Answer = { type: "CancelAcknowledged" }
const reject = (code: Control.ServerCode): Control.Answer => ({ type: "Reject", code })
const error = (code: Control.ServerCode): Control.Answer => ({ type: "Error", code })
const cancelling = stopping(acknowledge)
const timingOut = stopping(error("timeout"))

const none: Control.Action = { _tag: "None" }
const startQuery: Control.Action = { _tag: "StartQuery" }
const stopQuery: Control.Action = { _tag: "StopQuery" }
const respond = (answer: Control.Answer): Control.Action => ({ _tag: "Respond", answer })
const flush: Control.Action = { _tag: "Close", how: "flush" }
const abort: Control.Action = { _tag: "Close", how: "abort" }

const events: { readonly [Tag in Control.Event["_tag"]]: Extract<Control.Event, { _tag: Tag }> } = {
  Request: { _tag: "Request" },
  Cancel: { _tag: "Cancel" },
  Unexpected: { _tag: "Unexpected", detail: "Heartbeat from a client" },
  Malformed: { _tag: "Malformed", detail: "No frame" },
  PeerClosed: { _tag: "PeerClosed" },
  ReadFailed: { _tag: "ReadFailed", detail: "read ECONNRESET" },
  WriteFailed: { _tag: "WriteFailed", detail: "write EPIPE" },
  AcceptBegun: { _tag: "AcceptBegun" },
  TerminalBegun: { _tag: "TerminalBegun" },
  QueryStopped: { _tag: "QueryStopped" },
  InitFailed: { _tag: "InitFailed", detail: "no database" },
  RunFailed: { _tag: "RunFailed", detail: "a bug" },
  QueryExpired: { _tag: "QueryExpired" },
  IdleExpired: { _tag: "IdleExpired" },
  RequestExpired: { _tag: "RequestExpired" },
  Drain: { _tag: "Drain" },
  DrainExpired: { _tag: "DrainExpired" }
}
type Tag = keyof typeof events
const tags = Object.keys(events) as ReadonlyArray<Tag>

const states: Readonly<Record<string, Control.State>> = {
  fresh,
  "after a response": afterResponse,
  "after K": afterCancel,
  refusing: overloaded,
  initialising,
  responding,
  "initialising while draining": draining(initialising),
  "responding while draining": draining(responding),
  cancelling,
  "cancelling while draining": draining(cancelling),
  "timing out": timingOut,
  closed: closed("read", "End of file")
}

/** A cell of the table: what an event leads to, and what to do. */
type Cells = { readonly [T in Tag]?: Control.Step }

const violation = (detail: string): Control.Step => [closed("protocol", detail), abort]
const stay = (state: Control.State): Control.Step => [state, none]

/** Whatever the state, these end the connection. */
const always: Cells = {
  Unexpected: violation("Heartbeat from a client"),
  Malformed: violation("No frame"),
  ReadFailed: [closed("read", "read ECONNRESET"), abort],
  WriteFailed: [closed("write", "write EPIPE"), abort],
  InitFailed: [closed("init", "no database"), abort],
  RunFailed: [closed("run", "a bug"), abort],
  RequestExpired: [closed("read", "A request came too slowly (requestTimeout)"), abort],
  PeerClosed: [closed("read", "End of file"), abort]
}

const ready: Cells = {
  ...always,
  Request: [initialising, startQuery],
  // What has been written, or is being written, is for the peer that only half-closed to read.
  PeerClosed: [closed("read", "End of file"), flush],
  IdleExpired: [closed("read", "No request came (idleTimeout)"), flush],
  Drain: [closed("drain", "Server is shutting down"), flush],
  DrainExpired: [closed("drain", "Server is shutting down"), flush]
}

/** What is not listed leaves the state as it is, and does nothing. */
const table: ReadonlyArray<readonly [name: string, state: Control.State, cells: Cells]> = [
  ["fresh", fresh, { ...ready, Cancel: violation("Cancel without a request") }],
  ["after a response not ended by K", afterResponse, { ...ready, Cancel: stay(fresh) }],
  [
    "after K, or after the one ignored cancel",
    afterCancel,
    { ...ready, Cancel: violation("Cancel without a request") }
  ],
  [
    "on a connection beyond the limit",
    overloaded,
    {
      ...ready,
      Request: [stopping(reject("overloaded"), "overloaded"), respond(reject("overloaded"))],
      Cancel: violation("Cancel without a request")
    }
  ],
  [
    "initialising",
    initialising,
    {
      ...always,
      Request: violation("Request while another is in flight"),
      Cancel: [cancelling, stopQuery],
      AcceptBegun: stay(responding),
      TerminalBegun: stay(afterResponse),
      QueryExpired: [stopping(reject("overloaded")), stopQuery],
      Drain: stay(draining(initialising)),
      DrainExpired: [stopping(reject("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "responding",
    responding,
    {
      ...always,
      Request: violation("Request while another is in flight"),
      Cancel: [cancelling, stopQuery],
      TerminalBegun: stay(afterResponse),
      QueryExpired: [timingOut, stopQuery],
      Drain: stay(draining(responding)),
      DrainExpired: [stopping(error("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "initialising while the server drains",
    draining(initialising),
    {
      ...always,
      Request: violation("Request while another is in flight"),
      Cancel: [draining(cancelling), stopQuery],
      AcceptBegun: stay(draining(responding)),
      TerminalBegun: [closed("drain", "Server is shutting down"), flush],
      QueryExpired: [stopping(reject("overloaded"), "shutting_down"), stopQuery],
      DrainExpired: [stopping(reject("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "responding while the server drains",
    draining(responding),
    {
      ...always,
      Request: violation("Request while another is in flight"),
      Cancel: [draining(cancelling), stopQuery],
      TerminalBegun: [closed("drain", "Server is shutting down"), flush],
      QueryExpired: [draining(timingOut), stopQuery],
      DrainExpired: [stopping(error("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "cancelling",
    cancelling,
    {
      ...always,
      Request: violation("Request before the cancel was acknowledged"),
      Cancel: violation("Cancel while one is being acknowledged"),
      QueryStopped: [cancelling, respond(acknowledge)],
      TerminalBegun: stay(afterCancel),
      Drain: stay(draining(cancelling)),
      DrainExpired: stay(draining(cancelling))
    }
  ],
  [
    "cancelling while the server drains",
    draining(cancelling),
    {
      ...always,
      Request: violation("Request before the cancel was acknowledged"),
      Cancel: violation("Cancel while one is being acknowledged"),
      QueryStopped: [draining(cancelling), respond(acknowledge)],
      TerminalBegun: [closed("drain", "Server is shutting down"), flush]
    }
  ],
  [
    "ending a query with an error of the server",
    timingOut,
    {
      ...always,
      Request: violation("Request while another is in flight"),
      // The error has not begun to be written: the cancel decides, and is no stale one later.
      Cancel: stay(cancelling),
      QueryStopped: [timingOut, respond(error("timeout"))],
      TerminalBegun: stay(afterResponse),
      Drain: stay(draining(timingOut)),
      DrainExpired: stay(draining(timingOut))
    }
  ],
  [
    "rejecting the request of a connection beyond the limit",
    stopping(reject("overloaded"), "overloaded"),
    {
      ...always,
      Request: violation("Request while another is in flight"),
      Cancel: stay(stopping(acknowledge, "overloaded")),
      QueryStopped: [stopping(reject("overloaded"), "overloaded"), respond(reject("overloaded"))],
      TerminalBegun: [closed("drain", "Too many connections"), flush],
      Drain: stay(stopping(reject("overloaded"), "shutting_down")),
      DrainExpired: stay(stopping(reject("overloaded"), "shutting_down"))
    }
  ]
]

for (const [name, state, cells] of table) {
  describe(name, () => {
    for (const tag of tags) {
      const [next, action] = cells[tag] ?? stay(state)
      const outcome = cells[tag] === undefined ? "changes nothing" : `${next._tag}, ${action._tag}`
      it(`${tag}: ${outcome}`, () => {
        assert.deepStrictEqual(Control.step(state, events[tag]), [next, action])
      })
    }
  })
}

describe("the machine", () => {
  it("has a step for every state and event", () => {
    for (const state of Object.values(states)) {
      for (const event of Object.values(events)) {
        const [next, action] = Control.step(state, event)
        assert.include(["Ready", "Initialising", "Responding", "Stopping", "Closed"], next._tag)
        assert.include(["None", "StartQuery", "StopQuery", "Respond", "Close"], action._tag)
        if (next._tag === "Closed" && state._tag !== "Closed") assert.strictEqual(action._tag, "Close")
      }
    }
  })

  it("stays closed, for the first reason", () => {
    for (const event of Object.values(events)) {
      const state = closed("write", "write EPIPE")
      assert.deepStrictEqual(Control.step(state, event), [state, none])
    }
  })

  it("does not change the state it is given", () => {
    for (const state of Object.values(states)) {
      const frozen = Object.freeze({ ...state })
      for (const event of Object.values(events)) Control.step(frozen, event)
      assert.deepStrictEqual(frozen, state)
    }
  })

  it("ignores one stale cancel a response, and no more", () => {
    const one = Control.step(afterResponse, events.Cancel)[0]
    assert.strictEqual(Control.step(one, events.Cancel)[0]._tag, "Closed")
    const again = [events.Request, events.TerminalBegun, events.Cancel] as const
    assert.deepStrictEqual(
      again.reduce<Control.State>((state, event) => Control.step(state, event)[0], one),
      fresh
    )
  })

  it("starts one query at a time, whatever happens", () => {
    // Every sequence of four events: a query is started only when the one before it has a last word.
    const walk = (state: Control.State, running: boolean, depth: number): void => {
      if (depth === 0) return
      for (const event of Object.values(events)) {
        const [next, action] = Control.step(state, event)
        if (action._tag === "StartQuery") assert.isFalse(running)
        const ends = event._tag === "TerminalBegun" || next._tag === "Closed"
        walk(next, action._tag === "StartQuery" || (running && !ends), depth - 1)
      }
    }
    walk(fresh, false, 4)
  })
})
