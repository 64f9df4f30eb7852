import { assert, describe, it } from "@effect/vitest"
import * as Machine from "../../src/protocol/ClientMachine.ts"
import { Type } from "../../src/protocol/Message.ts"

const states = {
  Idle: { _tag: "Idle" },
  Requested: { _tag: "Requested" },
  Responding: { _tag: "Responding" },
  "Cancelling, not accepted": { _tag: "Cancelling", accepted: false },
  "Cancelling, accepted": { _tag: "Cancelling", accepted: true },
  Closed: { _tag: "Closed", why: { _tag: "ServerClosed" } }
} as const satisfies Record<string, Machine.State>

type StateName = keyof typeof states

const received = (type: Type): Machine.Event => ({ _tag: "Received", type })

const events = {
  request: { _tag: "Request" },
  cancel: { _tag: "Cancel" },
  A: received(Type.Accept),
  J: received(Type.Reject),
  I: received(Type.Intermediate),
  F: received(Type.Final),
  E: received(Type.Error),
  K: received(Type.CancelAcknowledged),
  H: received(Type.Heartbeat),
  R: received(Type.Request),
  C: received(Type.Cancel),
  "going away": { _tag: "GoingAway", payload: new Uint8Array(0) },
  malformed: { _tag: "Malformed", detail: "no frame" },
  "server closed": { _tag: "ServerClosed" },
  "read failed": { _tag: "ReadFailed", detail: "reset" },
  "write failed": { _tag: "WriteFailed", detail: "pipe" },
  silence: { _tag: "Silence" },
  "cancel expired": { _tag: "CancelExpired" },
  close: { _tag: "Close" }
} as const satisfies Record<string, Machine.Event>

type EventName = keyof typeof events

/** A cell: the next state and the action, `-` for no change, or why the connection closes. */
type Cell = "-" | `${StateName} / ${Machine.Action}` | `Closed: ${Machine.Why["_tag"]}`

const violation = "Closed: Violation"
const overCancelled = "Idle / EndCancelled"

// PROTOCOL.md §2, from the client's side: one line an event, one column a state, in the order of `states`.
const table: Record<EventName, readonly [Cell, Cell, Cell, Cell, Cell, Cell]> = {
  request: ["Requested / SendRequest", "-", "-", "-", "-", "-"],
  cancel: ["-", "Cancelling, not accepted / SendCancel", "Cancelling, accepted / SendCancel", "-", "-", "-"],
  A: [violation, "Responding / Accept", violation, "Cancelling, accepted / None", violation, "-"],
  // Between two responses it is the server's goodbye.
  J: ["Closed: GoingAway", "Idle / Reject", violation, overCancelled, violation, "-"],
  "going away": ["Closed: GoingAway", "-", "-", "-", "-", "-"],
  I: [violation, violation, "Responding / Chunk", violation, "-", "-"],
  F: [violation, violation, "Idle / Finish", violation, overCancelled, "-"],
  E: [violation, violation, "Idle / Fail", violation, overCancelled, "-"],
  K: [violation, violation, violation, overCancelled, overCancelled, "-"],
  H: ["-", "-", "-", "-", "-", "-"],
  R: [violation, violation, violation, violation, violation, "-"],
  C: [violation, violation, violation, violation, violation, "-"],
  malformed: [violation, violation, violation, violation, violation, "-"],
  "server closed": [
    "Closed: ServerClosed",
    "Closed: ServerClosed",
    "Closed: ServerClosed",
    "Closed: ServerClosed",
    "Closed: ServerClosed",
    "-"
  ],
  "read failed": ["Closed: Lost", "Closed: Lost", "Closed: Lost", "Closed: Lost", "Closed: Lost", "-"],
  "write failed": ["Closed: Lost", "Closed: Lost", "Closed: Lost", "Closed: Lost", "Closed: Lost", "-"],
  silence: ["Closed: Silent", "Closed: Silent", "Closed: Silent", "-", "-", "-"],
  "cancel expired": [
    "-",
    "Closed: CancelIgnored",
    "Closed: CancelIgnored",
    "Closed: CancelIgnored",
    "Closed: CancelIgnored",
    "-"
  ],
  close: ["Closed: Closed", "Closed: Closed", "Closed: Closed", "Closed: Closed", "Closed: Closed", "-"]
}

const nameOf = (state: Machine.State): string =>
  state._tag === "Cancelling" ? `Cancelling, ${state.accepted ? "accepted" : "not accepted"}` : state._tag

const show = (before: Machine.State, [state, action]: Machine.Step): string => {
  if (action === "None" && nameOf(state) === nameOf(before)) return "-"
  if (state._tag !== "Closed") return `${nameOf(state)} / ${action}`
  assert.strictEqual(action, "Close")
  return `Closed: ${state.why._tag}`
}

for (const [column, stateName] of (Object.keys(states) as Array<StateName>).entries()) {
  describe(stateName, () => {
    for (const eventName of Object.keys(events) as Array<EventName>) {
      const expected = table[eventName][column]
      it(`${eventName}: ${expected}`, () => {
        const state = states[stateName]
        assert.strictEqual(show(state, Machine.step(state, events[eventName])), expected)
      })
    }
  })
}

describe("every way through the machine", () => {
  it("has one terminal message at most for each request", () => {
    const terminals = new Set<Machine.Action>(["Reject", "Finish", "Fail", "EndCancelled"])
    const seen = new Set<string>()
    const walk = (state: Machine.State, open: number): void => {
      const key = `${nameOf(state)} ${open}`
      if (seen.has(key)) return
      seen.add(key)
      assert.isTrue(open === 0 || open === 1, key)
      if (state._tag === "Idle") assert.strictEqual(open, 0)
      for (const event of Object.values(events)) {
        const [next, action] = Machine.step(state, event)
        walk(next, open + (action === "SendRequest" ? 1 : 0) - (terminals.has(action) ? 1 : 0))
      }
    }
    walk(Machine.initial, 0)
  })

  it("says what was wrong with a message, and when", () => {
    const [state] = Machine.step(states.Requested, events.I)
    assert.deepStrictEqual(state, {
      _tag: "Closed",
      why: { _tag: "Violation", detail: "Intermediate Chunk (I) before the request was accepted" }
    })
  })
})
