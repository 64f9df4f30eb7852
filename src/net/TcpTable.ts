/**
 * The system's table of TCP connections (`/proc/net/tcp` and `tcp6`): which of them have sent what their peers do not
 * acknowledge. Node can ask for no more: it has neither `TCP_USER_TIMEOUT` nor `TCP_INFO`.
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"

/** A connection whose peer does not answer. */
export interface Unanswered {
  /** Its ends, as {@link keyOf} has them. */
  readonly key: string
  /** How often the system has sent the same again, or has asked whether there is room, since the last answer. */
  readonly attempts: number
}

const newline = 0x0a
const colon = 0x3a
const zero = 0x30
/** How many bytes of a line come before this column, counted from the local address, besides two addresses. */
const columns = { timer: 23, repeats: 35 } as const
/** `01`, sent again what was not acknowledged, and `04`, asked whether a closed window has opened. */
const timers = { repeat: 0x31, probe: 0x34 } as const

/** The connections of a table whose peers do not answer. Others cost a look at two bytes of their line. */
export const unanswered = (table: Uint8Array, isV6: boolean): Array<Unanswered> => {
  const found: Array<Unanswered> = []
  const width = isV6 ? 37 : 13
  let start = table.indexOf(newline) + 1
  while (start > 0 && start < table.length) {
    const end = table.indexOf(newline, start)
    if (end < 0) break
    const at = table.indexOf(colon, start) + 2
    if (isAwaiting(table, at + 2 * width + columns.timer)) {
      const line = Buffer.from(table.subarray(at, end)).toString("latin1")
      const attempts = attemptsOf(line, 2 * width)
      if (attempts > 0) found.push({ key: rowKey(line.slice(0, 2 * width + 1)), attempts })
    }
    start = end + 1
  }
  return found
}

/** Whether one of the two timers runs. */
const isAwaiting = (table: Uint8Array, at: number): boolean =>
  table[at] === zero && (table[at + 1] === timers.repeat || table[at + 1] === timers.probe)

const attemptsOf = (line: string, addresses: number): number => {
  const repeats = line.slice(addresses + columns.repeats, addresses + columns.repeats + 8)
  if (line.charCodeAt(addresses + columns.timer + 1) === timers.repeat) return Number.parseInt(repeats, 16)
  const [, probes = "0"] = line
    .slice(addresses + columns.repeats + 8)
    .trim()
    .split(/\s+/)
  return Number(probes)
}

/** `0100007F:1F90 0200007F:C350`, or the same of IPv6. */
const rowKey = (ends: string): string => {
  const [local = "", remote = ""] = ends.split(" ")
  const port = (end: string) => Number.parseInt(end.slice(-4), 16)
  return key(port(local), addressOf(remote.slice(0, -5)), port(remote))
}

/** An address is words of four bytes, each in the processor's order: that of all that Node runs on is little endian. */
const addressOf = (hex: string): string => {
  const bytes: Array<number> = []
  for (let word = 0; word < hex.length; word += 8) {
    for (let byte = 6; byte >= 0; byte -= 2)
      bytes.push(Number.parseInt(hex.slice(word + byte, word + byte + 2), 16))
  }
  if (bytes.length === 4) return bytes.join(".")
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number)).toString(16)
  )
  return canonical(groups.join(":"))
}

/** One text for each address: without a zone, compressed, and that of IPv4 for one that is mapped. */
const canonical = (address: string): string => {
  if (!address.includes(":")) return address
  const compressed = new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(compressed)
  if (mapped === null) return compressed
  const [high = 0, low = 0] = mapped.slice(1).map((group) => Number.parseInt(group, 16))
  return [high >> 8, high & 255, low >> 8, low & 255].join(".")
}

const key = (localPort: number, remote: string, remotePort: number): string =>
  `${localPort} ${remote} ${remotePort}`

/** The ends of a socket. */
export interface Ends {
  readonly localPort?: number | undefined
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}

/** The key of a socket's connection; `undefined` if it has none. */
export const keyOf = ({ localPort, remoteAddress, remotePort }: Ends): string | undefined =>
  localPort === undefined || remoteAddress === undefined || remotePort === undefined
    ? undefined
    : key(localPort, canonical(remoteAddress), remotePort)

/**
 * Counters that grow when a peer has not answered in time, or a window stays closed: which of them does depends on what
 * else the connection had seen, and on the kernel.
 */
const counters: ReadonlySet<string> = new Set([
  "TCPTimeouts",
  "TCPWinProbe",
  "TCPLossFailures",
  "TCPSackFailures",
  "TCPRenoFailures",
  "TCPSackRecoveryFail",
  "TCPRenoRecoveryFail"
])
const least = 2

/**
 * A number that grows whenever a connection gets into the table of those {@link unanswered}, of the text of
 * `/proc/net/netstat`; `undefined` if that does not have it.
 */
export const failures = (netstat: string): number | undefined => {
  const [names = [], values = []] = netstat
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"))
    .map((line) => line.split(" "))
  const known = names.flatMap((name, at) => (counters.has(name) ? [Number(values[at])] : []))
  const sum = known.reduce((sum, value) => sum + value, 0)
  return known.length < least || Number.isNaN(sum) ? undefined : sum
}

/**
 * The {@link failures} of this network namespace: as long as they stay the same, nothing new is in the table, which is a
 * thousand times as long.
 */
export const readFailures: Effect.Effect<number | undefined> = Effect.promise(() =>
  Fs.readFile("/proc/net/netstat", "latin1").then(failures, () => undefined)
)

const readTable = (name: string, isV6: boolean): Effect.Effect<Array<Unanswered> | undefined> =>
  Effect.promise(() =>
    Fs.readFile(`/proc/net/${name}`).then(
      (table) => unanswered(table, isV6),
      () => undefined
    )
  )

/** The connections of this network namespace whose peers do not answer; `undefined` where the system does not tell. */
export const read: Effect.Effect<ReadonlyArray<Unanswered> | undefined> = Effect.gen(function* () {
  const four = yield* readTable("tcp", false)
  const six = yield* readTable("tcp6", true)
  return four === undefined && six === undefined ? undefined : [...(four ?? []), ...(six ?? [])]
})
