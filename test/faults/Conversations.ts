/**
 * What a client and a server have to say to each other while the socket between them fails.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Client } from "../../src/client/Client.ts"
import type { ClientError } from "../../src/client/ClientError.ts"
import type { QueryFailed, QueryRejected } from "../../src/engine/QueryEngine.ts"
import type { Member } from "../../src/server/Shutdown.ts"
import { accept, chunk, end, type Step, type StepEngine } from "../../src/testing/StepEngine.ts"

type Failure = ClientError | QueryRejected | QueryFailed

export interface Conversation {
  readonly name: string
  /** What the server's side does meanwhile: the engine's steps, and the stop. */
  readonly server: (engine: StepEngine, connection: Member) => Effect.Effect<void>
  /** What the client's side does; the text says what came of it. */
  readonly client: (client: Client["Service"]) => Effect.Effect<string, Failure>
  /** What comes of it while nothing fails: the text, or a failure as `failure` shows it. */
  readonly outcome: string
  /** What the server says that it closes the connection for, where it is the one to close. */
  readonly closing?: string
  /** Whether the client waits for the close without a request, when no silence tells it that nothing comes. */
  readonly waitsForClose?: boolean
  /** How many requests the client makes. Default: 1. */
  readonly requests?: number
  /** How long a query takes to end once it is told to. */
  readonly finalizerMillis?: number
}

const decoder = new TextDecoder()
const body = new TextEncoder().encode("one")

/** A whole response as text. */
const ask = (client: Client["Service"]): Effect.Effect<string, Failure> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks, payload } = yield* client.request(body)
      const result = yield* Stream.mkString(Stream.decodeText(chunks))
      return `${decoder.decode(payload)} ${result}`
    })
  )

/** Gives the request up while it waits for its accept. */
const giveUp = (client: Client["Service"]): Effect.Effect<string, Failure> =>
  Effect.timeoutOrElse(ask(client), { duration: 300, orElse: () => Effect.succeed("cancelled") })

/** Takes the first three bytes, and no more. */
const begin = (client: Client["Service"]): Effect.Effect<string, Failure> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chunks } = yield* client.request(body)
      const first = yield* Stream.runCollect(Stream.take(Stream.flattenIterable(chunks), 3))
      return `cancelled after ${String.fromCharCode(...first)}`
    })
  )

const thenAsk =
  (first: Conversation["client"]): Conversation["client"] =>
  (client) =>
    Effect.gen(function* () {
      const one = yield* first(client)
      yield* Effect.sleep(1000)
      return `${one}, ${yield* ask(client)}`
    })

/** Steps with time between them. */
const paced = (engine: StepEngine, ...steps: ReadonlyArray<Step>): Effect.Effect<void> =>
  Effect.forEach(steps, (step) => Effect.andThen(Effect.sleep(200), engine.step(step)), { discard: true })

const whole = [accept, chunk("abc"), chunk("defg"), end] as const

const cancels: ReadonlyArray<Conversation> = [
  {
    name: "a cancel before the accept",
    server: (engine) => Effect.andThen(Effect.sleep(500), engine.step(...whole)),
    client: thenAsk(giveUp),
    requests: 2,
    outcome: "cancelled, yes abcdefg"
  },
  {
    name: "a cancel while streaming",
    server: (engine) =>
      Effect.andThen(
        paced(engine, accept, chunk("abc")),
        Effect.andThen(Effect.sleep(200), engine.step(...whole))
      ),
    client: thenAsk(begin),
    requests: 2,
    outcome: "cancelled after abc, yes abcdefg"
  }
]

/** The queries take their time to end, so that faults fall in the middle of that. */
const slowly = (conversation: Conversation): Conversation => ({
  ...conversation,
  name: `${conversation.name}, of a query that is slow to end`,
  finalizerMillis: 250
})

export const conversations: ReadonlyArray<Conversation> = [
  {
    name: "a complete response",
    server: (engine) => engine.step(...whole),
    client: ask,
    outcome: "yes abcdefg"
  },
  {
    name: "two responses",
    server: (engine) => engine.step(...whole, ...whole),
    client: thenAsk(ask),
    requests: 2,
    outcome: "yes abcdefg, yes abcdefg"
  },
  {
    name: "a streamed response",
    server: (engine) => paced(engine, ...whole),
    client: ask,
    outcome: "yes abcdefg"
  },
  {
    name: "a reject",
    server: (engine) => engine.step({ _tag: "reject", payload: "no" }),
    client: ask,
    outcome: "QueryRejected no"
  },
  {
    name: "a failure after a part of the result",
    server: (engine) => paced(engine, accept, chunk("abc"), { _tag: "fail", payload: "broken" }),
    client: ask,
    outcome: "QueryFailed broken"
  },
  ...cancels,
  ...cancels.map(slowly),
  {
    name: "silence with heartbeats",
    server: (engine) =>
      Effect.andThen(engine.step(accept), Effect.andThen(Effect.sleep(5000), engine.step(chunk("abc"), end))),
    client: ask,
    outcome: "yes abc"
  },
  {
    name: "an idle connection that the server closes",
    server: (engine) => engine.step(...whole),
    client: (client) =>
      Effect.gen(function* () {
        const result = yield* ask(client)
        while (client.isOpen()) yield* Effect.sleep(1000)
        return `${result}, closed`
      }),
    outcome: "yes abcdefg, closed",
    closing: "No request came (idleTimeout)",
    waitsForClose: true
  },
  {
    name: "a drain that lets the response end",
    server: (engine, connection) =>
      Effect.gen(function* () {
        yield* paced(engine, accept, chunk("abc"))
        yield* connection.drain
        yield* paced(engine, chunk("defg"), end)
      }),
    client: ask,
    outcome: "yes abcdefg",
    closing: "Server is shutting down"
  },
  {
    name: "a drain that waits no longer",
    server: (engine, connection) =>
      Effect.gen(function* () {
        yield* paced(engine, accept, chunk("abc"))
        yield* connection.drain
        yield* Effect.sleep(200)
        yield* connection.drainExpired
      }),
    client: ask,
    outcome: "QueryFailed shutting_down",
    closing: "Server is shutting down"
  }
]
