/**
 * `dataconn serve` under load while its engines' processes are killed and stopped at random moments. Whatever a client
 * is told must be true, and nothing may be left in the end.
 */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Client from "../../src/client/Client.ts"
import * as ClientPool from "../../src/client/ClientPool.ts"
import type * as QueryApi from "../../src/engine/QueryApi.ts"
import * as Random from "../simulation/Random.ts"
import * as Dataconn from "../support/Dataconn.ts"
import * as Folder from "../support/Folder.ts"
import * as Poll from "../support/Poll.ts"

export interface Options {
  readonly millis: number
  readonly seed: number
  readonly engines: number
  /** How many clients ask side by side. */
  readonly clients: number
}

export interface Outcome {
  /** How often what became of a query. */
  readonly answers: Readonly<Record<string, number>>
  readonly killed: number
  readonly stopped: number
  /** What was not true, or left. */
  readonly wrong: ReadonlyArray<string>
}

/** The processes that a process has started and that have not ended. */
const childrenOf = (pid: number): ReadonlyArray<number> =>
  readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number)
  )

const isThere = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

const signal = (pid: number, name: NodeJS.Signals): boolean => {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

const rows = 100_000
const large = `SELECT i, 'row ' || i AS t FROM range(${rows}) AS r(i)`
const expectedLarge = (() => {
  const hash = createHash("sha256")
  for (let i = 0; i < rows; i++) hash.update(`{"i":${i},"t":"row ${i}"}\n`)
  return hash.digest("hex")
})()

/** What a server may say of a query that it did not finish. */
const honest: ReadonlySet<QueryApi.ErrorCode> = new Set(["engine_lost", "overloaded"])

interface World {
  readonly client: Client.ClientService
  readonly random: Random.Random
  readonly count: (answer: string) => void
  readonly wrong: (what: string) => void
}

/** Asks a query, and compares the hash of its result. */
const ask = ({ client, count, wrong }: World, query: string, expected: string) =>
  Effect.gen(function* () {
    const hash = createHash("sha256")
    const { chunks } = yield* client.query({ query, format: "application/x-ndjson" })
    yield* Stream.runForEach(chunks, (chunk) => Effect.sync(() => void hash.update(chunk)))
    if (hash.digest("hex") !== expected) wrong(`${query}: a result that looks whole is not`)
    count("whole")
  }).pipe(
    Effect.scoped,
    Effect.catchTags({
      QueryError: ({ code, message }) =>
        Effect.sync(() => {
          count(code)
          if (!honest.has(code)) wrong(`${query}: ${code}: ${message}`)
        }),
      ClientError: ({ message }) => Effect.sync(() => wrong(`${query}: ${message}`))
    })
  )

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex")

const small = (world: World, n: number) => ask(world, `SELECT ${n} AS n`, hashOf(`{"n":${n}}\n`))

const endless = "SELECT sum(a.range * b.range) AS s FROM range(10000000) AS a, range(10000000) AS b"
const unstoppable = "SELECT repeat('a', 30000) GLOB (repeat('*a', 3000) || 'b')"

/** A query that is given up after a while. */
const givenUp = (world: World, query: string) =>
  Effect.timeoutOrElse(ask(world, query, "never"), {
    duration: world.random.between(1, 400),
    orElse: () => Effect.sync(() => world.count("given up"))
  })

const oneQuery = (world: World) => {
  const kind = world.random.below(100)
  if (kind < 80) return small(world, world.random.below(1_000_000))
  if (kind < 92) return ask(world, large, expectedLarge)
  return givenUp(world, kind < 99 ? endless : unstoppable)
}

/** Kills and stops processes of the server until it is interrupted. */
const killer = (pid: number, random: Random.Random, did: { killed: number; stopped: number }) =>
  Effect.forever(
    Effect.gen(function* () {
      yield* Effect.sleep(random.between(100, 2000))
      const children = childrenOf(pid)
      const child = children[random.below(children.length)]
      if (child === undefined) return
      if (random.chance(0.7)) {
        if (signal(child, "SIGKILL")) did.killed++
        return
      }
      if (signal(child, "SIGSTOP")) did.stopped++
      if (random.chance(0.5)) {
        yield* Effect.sleep(random.between(1, 1500))
        signal(child, "SIGCONT")
      }
    })
  )

/** A storm, on a server of its own. */
export const run = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Outcome, never, Scope.Scope> {
  const { clients, engines, millis, seed } = options
  const random = new Random.Random(seed)
  const spill = yield* Folder.make
  const server = yield* Dataconn.serveTiny(
    [
      "--isolate",
      "process",
      "--engines",
      String(engines),
      "--engine-silence",
      "2s",
      "--cancel-grace",
      "300ms",
      "--spill-directory",
      spill
    ],
    { keeps: (line) => !/ (request|accept|complete|rejected|cancelled|failed)/.test(line) }
  )
  const address = yield* server.address
  const settings = {
    maxConnections: clients + engines,
    cancelTimeout: "1 minute",
    heartbeatTolerance: "1 minute"
  } as const
  const client = yield* ClientPool.connect(address, settings)
  const answers: Record<string, number> = {}
  const wrong: Array<string> = []
  const world: World = {
    client,
    random,
    count: (answer) => {
      answers[answer] = (answers[answer] ?? 0) + 1
    },
    wrong: (what) => {
      if (wrong.length < 20) wrong.push(what)
    }
  }
  const isWhole = () => childrenOf(server.pid).length === engines
  yield* Poll.until("all processes are there", isWhole)
  yield* Effect.replicateEffect(small(world, 1), 20)
  const handles = () => readdirSync(`/proc/${server.pid}/fd`).length
  const before = handles()

  const did = { killed: 0, stopped: 0 }
  const killing = yield* Effect.forkChild(killer(server.pid, random.child(), did))
  const load = Effect.forever(Effect.suspend(() => oneQuery(world)))
  const loads = yield* Effect.forEach(Array.from({ length: clients }), () => Effect.forkChild(load))
  yield* Effect.sleep(millis)
  yield* Fiber.interrupt(killing)
  yield* Effect.forEach(loads, (fiber) => Fiber.interrupt(fiber), { concurrency: "unbounded", discard: true })
  for (const child of childrenOf(server.pid)) signal(child, "SIGCONT")

  // What is stopped for too long is killed; after that all is as it was.
  yield* Poll.until("all processes are there again", isWhole)
  const counted = answers["whole"] ?? 0
  yield* Effect.forEach(
    Array.from({ length: 2 * clients }, (_, i) => i),
    (i) => small(world, i),
    {
      concurrency: clients,
      discard: true
    }
  )
  if ((answers["whole"] ?? 0) - counted !== 2 * clients)
    wrong.push("after the storm not all queries are answered")
  yield* Poll.until("as many handles as before", () => handles() <= before + clients)
  const [own = ""] = readdirSync(spill)
  if (readdirSync(`${spill}/${own}`).length > engines) wrong.push("directories of processes are left")

  const children = childrenOf(server.pid)
  yield* server.kill("SIGTERM")
  const exit = yield* server.exit
  if (exit !== 0) wrong.push(`the server ended with ${exit}`)
  if (server.stderr() !== "") wrong.push(`the server says ${server.stderr()}`)
  if (children.some(isThere)) wrong.push("processes are left")
  if (readdirSync(spill).length > 0) wrong.push("spilled files are left")
  return { answers, wrong, ...did }
})
