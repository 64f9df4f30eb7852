import { assert, describe, it } from "@effect/vitest"
import * as Message from "../../src/protocol/Message.ts"
import * as Response from "../../src/protocol/Response.ts"
import * as Machine from "../../src/protocol/ServerMachine.ts"

const fresh = Machine.initial
const afterResponse: Machine.State = { _tag: "Ready", staleCancel: true, refusing: undefined }
const afterCancel: Machine.State = { _tag: "Ready", staleCancel: false, refusing: undefined }
const overloaded = Machine.refusing("overloaded")
const initialising: Machine.State = { _tag: "Initialising", refusing: undefined }
const responding: Machine.State = { _tag: "Responding", refusing: undefined }
const ending = (accepted: boolean): Machine.State => ({ _tag: "Ending", accepted, refusing: undefined })
const committing = (crossed: boolean): Machine.State => ({ _tag: "Committing", crossed, refusing: undefined })
const stopping = (reply: Machine.LocalReply, refusing?: Machine.LocalCode): Machine.State => ({
  _tag: "Stopping",
  reply,
  refusing
})
const replying = (reply: Machine.LocalReply, refusing?: Machine.LocalCode): Machine.State => ({
  _tag: "Replying",
  reply,
  refusing
})
const draining = <S extends Machine.State>(state: S): S => ({ ...state, refusing: "shutting_down" })
const closed = (reason: Machine.ControlReason, detail: string): Machine.State => ({
  _tag: "Closed",
  reason,
  detail
})
/** The client has to be told. */
const left = (
  reason: Machine.ControlReason,
  detail: string,
  goAway: Machine.LocalCode = "shutting_down"
): Machine.State => ({ _tag: "Closed", reason, detail, goAway })

const acknowledge: Machine.LocalReply = { type: "CancelAcknowledged" }
const reject = (code: Machine.LocalCode): Machine.LocalReply => ({ type: "Reject", code })
const error = (code: Machine.LocalCode): Machine.LocalReply => ({ type: "Error", code })

const none: Machine.Action = { _tag: "None" }
const startQuery: Machine.Action = { _tag: "StartQuery" }
const refuse: Machine.Action = { _tag: "Refuse" }
const stopQuery: Machine.Action = { _tag: "StopQuery" }
const write: Machine.Action = { _tag: "Write" }
const flush: Machine.Action = { _tag: "Close", how: "flush" }
const abort: Machine.Action = { _tag: "Close", how: "abort" }

const events: { readonly [Tag in Machine.Event["_tag"]]: Extract<Machine.Event, { _tag: Tag }> } = {
  Request: { _tag: "Request" },
  TooLarge: { _tag: "TooLarge" },
  Cancel: { _tag: "Cancel" },
  Unexpected: { _tag: "Unexpected", detail: "Heartbeat from a client" },
  Malformed: { _tag: "Malformed", detail: "No frame" },
  PeerClosed: { _tag: "PeerClosed" },
  ReadFailed: { _tag: "ReadFailed", detail: "read ECONNRESET" },
  WriteFailed: { _tag: "WriteFailed", detail: "write EPIPE" },
  AcceptBegun: { _tag: "AcceptBegun" },
  TerminalBegun: { _tag: "TerminalBegun" },
  CommitBegun: { _tag: "CommitBegun" },
  QueryEnded: { _tag: "QueryEnded" },
  InitFailed: { _tag: "InitFailed", detail: "no database" },
  RunFailed: { _tag: "RunFailed", detail: "a bug" },
  QueryExpired: { _tag: "QueryExpired" },
  IdleExpired: { _tag: "IdleExpired" },
  RequestExpired: { _tag: "RequestExpired" },
  Drain: { _tag: "Drain" },
  DrainExpired: { _tag: "DrainExpired" },
  Stopped: { _tag: "Stopped" }
}
type Tag = keyof typeof events
const tags = Object.keys(events) as ReadonlyArray<Tag>

/** A cell of the table: the state that an event leads to, and what to do. */
type Cells = { readonly [T in Tag]?: Machine.Step }

const violation = (detail: string): Machine.Step => [closed("protocol", detail), abort]
const stay = (state: Machine.State): Machine.Step => [state, none]

/** Whatever the state, these end the connection. */
const always: Cells = {
  Unexpected: violation("Heartbeat from a client"),
  Malformed: violation("No frame"),
  ReadFailed: [closed("read", "read ECONNRESET"), abort],
  WriteFailed: [closed("write", "write EPIPE"), abort],
  RunFailed: [closed("run", "a bug"), abort],
  RequestExpired: [closed("read", "A request came too slowly (requestTimeout)"), abort],
  PeerClosed: [closed("read", "End of file"), abort],
  Stopped: [closed("drain", "Server stopped"), abort]
}

const drained: Machine.Step = [left("drain", "Server is shutting down"), flush]

const ready: Cells = {
  ...always,
  Request: [initialising, startQuery],
  TooLarge: [replying(reject("too_large")), refuse],
  Cancel: violation("Cancel without a request"),
  // A peer that only half-closed reads what has been written, or is being written.
  PeerClosed: [closed("read", "End of file"), flush],
  IdleExpired: [left("read", "No request came (idleTimeout)"), flush],
  Drain: drained,
  DrainExpired: drained
}

/** A response is under way. */
const inFlight: Cells = {
  ...always,
  Request: violation("Request while another is in flight"),
  TooLarge: violation("Request while another is in flight")
}

/** A cancel is being acknowledged. */
const cancelling: Cells = {
  ...always,
  Request: violation("Request before the cancel was acknowledged"),
  TooLarge: violation("Request before the cancel was acknowledged"),
  Cancel: violation("Cancel while one is being acknowledged")
}

/** What is not listed leaves the state as it is, and does nothing. */
const table: ReadonlyArray<readonly [name: string, state: Machine.State, cells: Cells]> = [
  ["fresh", fresh, ready],
  ["after a response not ended by K", afterResponse, { ...ready, Cancel: stay(fresh) }],
  ["after K, or after the one ignored cancel", afterCancel, ready],
  [
    "on a connection beyond the limit",
    overloaded,
    {
      ...ready,
      IdleExpired: [left("read", "No request came (idleTimeout)", "overloaded"), flush],
      Drain: [left("drain", "Too many connections", "overloaded"), flush],
      DrainExpired: [left("drain", "Too many connections", "overloaded"), flush],
      Request: [replying(reject("overloaded"), "overloaded"), refuse],
      TooLarge: [replying(reject("too_large"), "overloaded"), refuse]
    }
  ],
  [
    "initialising",
    initialising,
    {
      ...inFlight,
      Cancel: [stopping(acknowledge), stopQuery],
      AcceptBegun: stay(responding),
      QueryEnded: [ending(false), write],
      InitFailed: [closed("init", "no database"), abort],
      QueryExpired: [stopping(reject("timeout")), stopQuery],
      Drain: stay(draining(initialising)),
      DrainExpired: [stopping(reject("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "initialising while the server drains",
    draining(initialising),
    {
      ...inFlight,
      Cancel: [draining(stopping(acknowledge)), stopQuery],
      AcceptBegun: stay(draining(responding)),
      QueryEnded: [draining(ending(false)), write],
      InitFailed: [closed("init", "no database"), abort],
      QueryExpired: [draining(stopping(reject("timeout"))), stopQuery],
      DrainExpired: [stopping(reject("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "responding",
    responding,
    {
      ...inFlight,
      Cancel: [stopping(acknowledge), stopQuery],
      CommitBegun: stay(committing(false)),
      QueryEnded: [ending(true), write],
      InitFailed: [closed("init", "no database"), abort],
      QueryExpired: [stopping(error("timeout")), stopQuery],
      Drain: stay(draining(responding)),
      DrainExpired: [stopping(error("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  [
    "responding while the server drains",
    draining(responding),
    {
      ...inFlight,
      Cancel: [draining(stopping(acknowledge)), stopQuery],
      CommitBegun: stay(draining(committing(false))),
      QueryEnded: [draining(ending(true)), write],
      InitFailed: [closed("init", "no database"), abort],
      QueryExpired: [draining(stopping(error("timeout"))), stopQuery],
      DrainExpired: [stopping(error("shutting_down"), "shutting_down"), stopQuery]
    }
  ],
  // The outcome is decided: the message that ends the response stands.
  [
    "committing",
    committing(false),
    {
      ...inFlight,
      Cancel: stay(committing(true)),
      QueryEnded: [committing(false), write],
      TerminalBegun: stay(afterResponse),
      Drain: stay(draining(committing(false))),
      DrainExpired: stay(draining(committing(false)))
    }
  ],
  [
    "committing when a cancel has come",
    committing(true),
    {
      ...inFlight,
      Cancel: violation("Cancel while a query that was cancelled commits"),
      QueryEnded: [committing(true), write],
      TerminalBegun: stay(afterCancel),
      Drain: stay(draining(committing(true))),
      DrainExpired: stay(draining(committing(true)))
    }
  ],
  [
    "committing while the server drains",
    draining(committing(false)),
    {
      ...inFlight,
      Cancel: stay(draining(committing(true))),
      QueryEnded: [draining(committing(false)), write],
      TerminalBegun: drained
    }
  ],
  // The query has ended: nothing is to be stopped, and a reply in place of its last message goes out at once.
  [
    "ending before the accept is written",
    ending(false),
    {
      ...inFlight,
      Cancel: [replying(acknowledge), write],
      AcceptBegun: stay(ending(true)),
      TerminalBegun: stay(afterResponse),
      QueryExpired: [replying(reject("timeout")), write],
      Drain: stay(draining(ending(false))),
      DrainExpired: [replying(reject("shutting_down"), "shutting_down"), write]
    }
  ],
  [
    "ending after the accept",
    ending(true),
    {
      ...inFlight,
      Cancel: [replying(acknowledge), write],
      TerminalBegun: stay(afterResponse),
      QueryExpired: [replying(error("timeout")), write],
      Drain: stay(draining(ending(true))),
      DrainExpired: [replying(error("shutting_down"), "shutting_down"), write]
    }
  ],
  [
    "ending while the server drains",
    draining(ending(true)),
    {
      ...inFlight,
      Cancel: [draining(replying(acknowledge)), write],
      TerminalBegun: drained,
      QueryExpired: [draining(replying(error("timeout"))), write],
      DrainExpired: [replying(error("shutting_down"), "shutting_down"), write]
    }
  ],
  [
    "stopping the query for a cancel",
    stopping(acknowledge),
    {
      ...cancelling,
      QueryEnded: [replying(acknowledge), write],
      InitFailed: [replying(acknowledge), write],
      Drain: stay(draining(stopping(acknowledge))),
      DrainExpired: stay(draining(stopping(acknowledge)))
    }
  ],
  [
    "stopping the query for a cancel while the server drains",
    draining(stopping(acknowledge)),
    {
      ...cancelling,
      QueryEnded: [draining(replying(acknowledge)), write],
      InitFailed: [draining(replying(acknowledge)), write]
    }
  ],
  [
    "stopping the query for an error of the server's",
    stopping(error("timeout")),
    {
      ...inFlight,
      // The error has not begun to be written: the cancel decides, and is no stale one later.
      Cancel: stay(stopping(acknowledge)),
      QueryEnded: [replying(error("timeout")), write],
      InitFailed: [replying(error("timeout")), write],
      Drain: stay(draining(stopping(error("timeout")))),
      DrainExpired: stay(draining(stopping(error("timeout"))))
    }
  ],
  [
    "acknowledging a cancel",
    replying(acknowledge),
    {
      ...cancelling,
      TerminalBegun: stay(afterCancel),
      Drain: stay(draining(replying(acknowledge))),
      DrainExpired: stay(draining(replying(acknowledge)))
    }
  ],
  [
    "acknowledging a cancel while the server drains",
    draining(replying(acknowledge)),
    { ...cancelling, TerminalBegun: drained }
  ],
  [
    "replying with an error of the server's",
    replying(error("timeout")),
    {
      ...inFlight,
      Cancel: stay(replying(acknowledge)),
      TerminalBegun: stay(afterResponse),
      Drain: stay(draining(replying(error("timeout")))),
      DrainExpired: stay(draining(replying(error("timeout"))))
    }
  ],
  [
    "rejecting the request of a connection beyond the limit",
    replying(reject("overloaded"), "overloaded"),
    {
      ...inFlight,
      Cancel: stay(replying(acknowledge, "overloaded")),
      TerminalBegun: [closed("drain", "Too many connections"), flush],
      Drain: stay(replying(reject("overloaded"), "shutting_down")),
      DrainExpired: stay(replying(reject("overloaded"), "shutting_down"))
    }
  ],
  ["closed", closed("write", "write EPIPE"), {}]
]

for (const [name, state, cells] of table) {
  describe(name, () => {
    for (const tag of tags) {
      const [next, action] = cells[tag] ?? stay(state)
      const outcome = cells[tag] === undefined ? "changes nothing" : `${next._tag}, ${action._tag}`
      it(`${tag}: ${outcome}`, () => {
        assert.deepStrictEqual(Machine.step(state, events[tag]), [next, action])
      })
    }
  })
}

/** Every state that some sequence of events leads to from `from`. */
const reachable = (...from: ReadonlyArray<Machine.State>): ReadonlyArray<Machine.State> => {
  const found = new Map<string, Machine.State>()
  const visit = (state: Machine.State): void => {
    const key = JSON.stringify(state)
    if (found.has(key)) return
    found.set(key, state)
    for (const event of Object.values(events)) visit(Machine.step(state, event)[0])
  }
  from.forEach(visit)
  return [...found.values()]
}

describe("the machine", () => {
  const states = reachable(fresh, overloaded)

  it("closes a connection with an action that says so, and does nothing about one that is closed", () => {
    assert.isAbove(states.length, 30)
    for (const state of states) {
      for (const event of Object.values(events)) {
        const [next, action] = Machine.step(state, event)
        if (state._tag === "Closed") assert.deepStrictEqual([next, action], [state, none])
        else assert.strictEqual(next._tag === "Closed", action._tag === "Close")
      }
    }
  })

  it("does not change the state it is given", () => {
    for (const state of states) {
      const frozen = Object.freeze({ ...state })
      for (const event of Object.values(events)) Machine.step(frozen, event)
      assert.deepStrictEqual(frozen, state)
    }
  })

  it("ignores one stale cancel a response, and no more", () => {
    const one = Machine.step(afterResponse, events.Cancel)[0]
    assert.strictEqual(Machine.step(one, events.Cancel)[0]._tag, "Closed")
    const again = [events.Request, events.QueryEnded, events.TerminalBegun, events.Cancel] as const
    assert.deepStrictEqual(
      again.reduce<Machine.State>((state, event) => Machine.step(state, event)[0], one),
      fresh
    )
  })

  it("starts one query at a time, and takes no request before the last one has ended", () => {
    // Every sequence of five events that can happen: a query ends once, and only one that runs.
    const walk = (state: Machine.State, runs: boolean, depth: number): void => {
      if (depth === 0 || state._tag === "Closed") return
      for (const event of Object.values(events)) {
        const ends = event._tag === "QueryEnded" || event._tag === "InitFailed"
        if (ends && !runs) continue
        if (event._tag === "TerminalBegun" && state._tag === "Committing" && runs) continue
        const [next, action] = Machine.step(state, event)
        if (action._tag === "StartQuery" || action._tag === "Refuse") assert.isFalse(runs)
        if (action._tag === "StopQuery") assert.isTrue(runs)
        const stillRuns = action._tag === "StartQuery" || (runs && !ends)
        if (next._tag === "Ready" || next._tag === "Replying" || next._tag === "Ending")
          assert.isFalse(stillRuns)
        walk(next, stillRuns, depth - 1)
      }
    }
    walk(fresh, false, 5)
    walk(overloaded, false, 5)
  })
})

describe("the messages of the next write", () => {
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  const limits: Response.Limits = { chunkSize: 10, prefetchSize: 100, batchSize: 100 }
  const encode = (code: Machine.LocalCode) => encoder.encode(code)
  const show = ({ body, type }: Message.Message) =>
    `${Message.letter(type)} ${decoder.decode(body)}`.trimEnd()

  /** The response of a query, as far as it has come: `A` is its accept, `F`, `E` and `J` its end, others chunks. */
  const responseOf = (parts: ReadonlyArray<string>): Response.Response => {
    const response = new Response.Response(limits)
    for (const part of parts) {
      if (part === "A") response.accepted(encoder.encode("yes"))
      else if (part === "F") response.ended({ _tag: "Complete" })
      else if (part === "E") response.ended({ _tag: "Failed", payload: encoder.encode("failed") })
      else if (part === "J") response.ended({ _tag: "Rejected", payload: encoder.encode("no") })
      else response.offer([encoder.encode(part)])
    }
    return response
  }

  const cases: ReadonlyArray<
    readonly [
      name: string,
      state: Machine.State,
      response: ReadonlyArray<string>,
      messages: ReadonlyArray<string>,
      next: Machine.State
    ]
  > = [
    ["none before the engine has accepted", initialising, [], [], initialising],
    ["an accept, which makes the connection respond", initialising, ["A"], ["A yes"], responding],
    ["an accept with the chunks at hand", initialising, ["A", "a", "b"], ["A yes", "I a", "I b"], responding],
    ["chunks", responding, ["a"], ["I a"], responding],
    ["none of a response that waits for the engine", responding, [], [], responding],
    ["a whole response", ending(false), ["A", "a", "F"], ["A yes", "F a"], afterResponse],
    ["an empty response", ending(false), ["A", "F"], ["A yes", "F"], afterResponse],
    ["the rest of a response", ending(true), ["a", "b", "F"], ["I a", "F b"], afterResponse],
    ["an error after what came before it", ending(true), ["a", "E"], ["I a", "E failed"], afterResponse],
    ["a reject", ending(false), ["J"], ["J no"], afterResponse],
    ["the end, before a server that drains closes", draining(ending(true)), ["F"], ["F"], drained[0]],
    [
      "an acknowledgement, and nothing of the response",
      replying(acknowledge),
      ["A", "a", "F"],
      ["K"],
      afterCancel
    ],
    ["a local error", replying(error("timeout")), ["a"], ["E timeout"], afterResponse],
    ["a local reject", replying(reject("too_large")), [], ["J too_large"], afterResponse],
    [
      "a local reject on a connection beyond the limit",
      replying(reject("overloaded"), "overloaded"),
      [],
      ["J overloaded"],
      closed("drain", "Too many connections")
    ],
    ["none while a query is being stopped", stopping(acknowledge), ["A", "a"], [], stopping(acknowledge)],
    ["none between requests", fresh, [], [], fresh],
    [
      "none of a closed connection",
      closed("read", "End of file"),
      ["A", "a", "F"],
      [],
      closed("read", "End of file")
    ]
  ]
  for (const [name, state, response, messages, next] of cases) {
    it(`are ${name}`, () => {
      const [after, taken] = Machine.take(state, responseOf(response), 0, encode)
      assert.deepStrictEqual(taken.map(show), messages)
      assert.deepStrictEqual(after, next)
    })
  }

  it("are of several writes where one has no room for all", () => {
    const response = new Response.Response({ ...limits, batchSize: 20 })
    response.accepted(encoder.encode("yes"))
    response.offer(["0123456789", "abcdefghij", "last"].map((text) => encoder.encode(text)))
    response.ended({ _tag: "Complete" })
    const [first, messages] = Machine.take(ending(false), response, 0, encode)
    assert.deepStrictEqual(messages.map(show), ["A yes", "I 0123456789", "I abcdefghij"])
    assert.deepStrictEqual(first, ending(true))
    const [last, rest] = Machine.take(first, response, 0, encode)
    assert.deepStrictEqual(rest.map(show), ["F last"])
    assert.deepStrictEqual(last, afterResponse)
  })
})
