/**
 * What connections cost that ask for nothing: resident memory for each, and the CPU time of their heartbeats.
 */
import { strict as assert } from "node:assert"
import { setTimeout as sleep } from "node:timers/promises"
import * as Figures from "./support/Figures.ts"
import * as Load from "./support/Load.ts"
import type { Options } from "./support/Options.ts"
import * as Processes from "./support/Processes.ts"
import * as Usage from "./support/Usage.ts"

interface Scale {
  readonly connections: number
  readonly heartbeatSeconds: number
  /** How long heartbeats are watched for. */
  readonly seconds: number
}

interface Sample {
  readonly baseKiB: number
  readonly openKiB: number
  readonly heldKiB: number
  readonly heartbeats: number
  readonly cpuShare: number
}

const servers = [
  ["raw", Processes.script("servers/RawServer", ["--expose-gc"])],
  ["DataConn", Processes.script("servers/DataConnServer", ["--expose-gc"])]
] as const

const collected = async (server: Processes.Process): Promise<number> => {
  server.signal("SIGUSR2")
  await server.line("collected")
  return Usage.residentKiB(server.pid)
}

const watch = async (server: Processes.Process, clients: Processes.Process, seconds: number) => {
  const heartbeats = async () => {
    clients.signal("SIGUSR2")
    return Number(await clients.line("heartbeats"))
  }
  await heartbeats()
  const before = Usage.cpuSeconds(server.pid)
  const started = performance.now()
  await sleep(seconds * 1000)
  const elapsed = (performance.now() - started) / 1000
  const cpuShare = (Usage.cpuSeconds(server.pid) - before) / elapsed
  return { heartbeats: (await heartbeats()) / elapsed, cpuShare }
}

const sample = (command: Processes.Command, scale: Scale): Promise<Sample> =>
  Processes.using(command, [String(scale.heartbeatSeconds)], async (server) => {
    const port = await server.line("port")
    // The base is that of a server that has worked.
    const workload = { total: 120, chunkSize: 1024, mode: "ready" } as const
    await Load.run(Load.fastest(), port, { connections: 64, requests: 20, workload })
    const baseKiB = await collected(server)
    return await Processes.using(Load.idle(), [port, String(scale.connections)], async (clients) => {
      await clients.line("open")
      await sleep((scale.heartbeatSeconds + 1) * 1000)
      const openKiB = Usage.residentKiB(server.pid)
      // What opening the connections left behind would else be collected at the heartbeats' cost, or not, by chance.
      const heldKiB = await collected(server)
      // Nor is it their cost that the collection has thrown out of caches what they need.
      await sleep(2 * scale.heartbeatSeconds * 1000)
      const beats = await watch(server, clients, scale.seconds)
      assert(beats.heartbeats > 0, "no heartbeat came")
      return { baseKiB, openKiB, heldKiB, ...beats }
    })
  })

export const run = async ({ quick, repeats }: Options): Promise<ReadonlyArray<Figures.Row>> => {
  const scale: Scale = quick
    ? { connections: 200, heartbeatSeconds: 1, seconds: 2 }
    : { connections: 10_000, heartbeatSeconds: 5, seconds: 20 }
  const samples = servers.map((): Array<Sample> => [])
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const [i, [, command]] of servers.entries()) samples[i]?.push(await sample(command, scale))
  }
  const each = (kib: number) => Math.max(0, kib) / scale.connections
  const figures = samples.map((all) => {
    const of = (figure: (one: Sample) => number) => Figures.median(all.map(figure))
    return {
      base: of(({ baseKiB }) => baseKiB) / 1024,
      resident: each(of(({ baseKiB, openKiB }) => openKiB - baseKiB)),
      held: each(of(({ baseKiB, heldKiB }) => heldKiB - baseKiB)),
      heartbeats: of(({ heartbeats }) => heartbeats),
      cpuShare: of(({ cpuShare }) => cpuShare)
    }
  })
  const [raw] = figures
  return figures.map(({ base, cpuShare, heartbeats, held, resident }, i) => ({
    connections: scale.connections,
    server: servers[i]?.[0] ?? "",
    ratio: raw === undefined || raw.resident === 0 ? null : Figures.round(resident / raw.resident),
    "resident KiB each": Figures.round(resident),
    "after a collection": Figures.round(held),
    "base MiB": Figures.round(base),
    "heartbeats/s": Figures.round(heartbeats),
    "CPU, % of a core": Figures.round(cpuShare * 100)
  }))
}
