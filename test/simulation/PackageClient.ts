/**
 * The package's own client in the scenario: what it sends and receives is held to the same reference, and what
 * it tells its user to what it has received.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import * as Client from "../../src/client/Client.ts"
import type { End } from "./Network.ts"
import * as Scenario from "./Scenario.ts"
import type { Options } from "./SimulatedClient.ts"
import * as Wire from "./Wire.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The socket, with everything that goes through it told to the reference. */
const tap = (socket: Socket.Socket, { client, reference, run, settings, who }: Options): Socket.Socket => {
  const sent = new Wire.Reader(settings.lengthCounts)
  const received = new Wire.Reader(settings.lengthCounts)
  const sending = ({ body, type }: Wire.Message) => {
    run.tell(who, `-> ${type} ${decoder.decode(body)}`)
    const request = client.requests.find(({ query }) => String(query.id) === decoder.decode(body))
    if (type === "R" && request !== undefined) reference.sent(request)
    else if (reference.current !== undefined) reference.current.cancelled = true
  }
  return Socket.make({
    reader: Effect.map(socket.reader, (reader) => ({
      ...reader,
      pull: Effect.map(reader.pull, (chunks) => {
        for (const message of chunks.flatMap((bytes) => received.push(bytes as Uint8Array))) {
          run.tell(who, `<- ${Wire.show(message)}`)
          reference.received(message)
        }
        return chunks
      })
    })),
    writer: Effect.map(socket.writer, (writer) => ({
      write: (chunk) =>
        Effect.suspend(() => {
          if (Socket.isCloseEvent(chunk)) reference.left = true
          return writer.write(chunk)
        }),
      writeAll: (chunks: NonEmptyReadonlyArray<Uint8Array | string>) =>
        Effect.suspend(() => {
          for (const bytes of chunks) sent.push(bytes as Uint8Array).forEach(sending)
          return writer.writeAll(chunks)
        })
    }))
  })
}

/** Lives until the scenario's requests are answered, or the connection has ended. */
export const live = Effect.fnUntraced(function* (end: End, options: Options) {
  const { client, reference, run, settings, who } = options
  const made = yield* Client.make(tap(end.socket, options), {
    lengthCounts: settings.lengthCounts,
    heartbeatTolerance: "1 hour"
  })
  if (client.leavesEarly !== undefined) {
    const { at, how } = client.leavesEarly
    const leave = Effect.sync(() => {
      reference.left = true
      run.tell(who, how)
      end[how]()
    })
    yield* Effect.forkScoped(Effect.andThen(Effect.sleep(at), leave))
  }
  for (const request of client.requests) {
    yield* Effect.sleep(request.thinking)
    const exit = yield* Effect.exit(ask(made, request, options))
    answered(request, exit, options)
  }
  while (client.leaving === undefined && made.isOpen()) yield* Effect.sleep(100)
  reference.left = true
})

/** The bytes of a whole result; none if the client has thought better of it. */
const ask = (client: Client.Client["Service"], request: Scenario.Request, options: Options) => {
  const { client: scenario, random } = options
  const chunks: Array<Uint8Array> = []
  const take = (chunk: Uint8Array) => {
    chunks.push(chunk)
    return random.chance(scenario.pause) ? Effect.sleep(random.between(0, scenario.pauseMillis)) : Effect.void
  }
  const whole = client.request(encoder.encode(String(request.query.id))).pipe(
    Effect.flatMap((response) => Stream.runForEach(response.chunks, take)),
    Effect.map(() => chunks.flatMap((chunk) => [...chunk])),
    Effect.scoped
  )
  return request.cancelAfter === undefined
    ? Effect.asSome(whole)
    : Effect.timeoutOption(whole, request.cancelAfter)
}

/** Holds what the client says to what was on the wire. */
const answered = (
  request: Scenario.Request,
  exit: Exit.Exit<Option.Option<ReadonlyArray<number>>, { readonly _tag: string }>,
  { reference, run, who }: Options
): void => {
  const { query } = request
  const terminal = reference.exchanges.find((exchange) => exchange.request === request)?.terminal
  const expect = (condition: boolean, otherwise: string) => {
    if (!condition) run.wrong(who, `query ${query.id}: ${otherwise}, but the wire had ${terminal}`)
  }
  if (exit._tag === "Success") {
    if (Option.isNone(exit.value)) return
    const { value } = exit.value
    expect(terminal === "F", "the client has a whole result")
    const same = value.every((byte, i) => byte === Scenario.byteAt(query, i))
    return void expect(same && value.length === Scenario.size(query), `a result of ${value.length} bytes`)
  }
  const error = Cause.findErrorOption(exit.cause)
  if (Option.isNone(error)) return void expect(false, `the client broke: ${exit.cause}`)
  const { _tag } = error.value
  run.tell(who, `query ${query.id}: ${_tag}`)
  const expected: Record<string, boolean> = {
    // A goodbye answers the request that has not been sent.
    QueryRejected: terminal === "J" || (terminal === undefined && reference.goodbye),
    QueryFailed: terminal === "E",
    ClientError: terminal === undefined
  }
  expect(expected[_tag] === true, _tag)
}
