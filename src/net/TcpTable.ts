/**
 * The system's table of TCP connections (`/proc/net/tcp` and `tcp6`), which shows the connections whose peers
 * do not acknowledge bytes. Node has neither `TCP_USER_TIMEOUT` nor `TCP_INFO`.
 */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"

/** A connection whose peer does not answer. */
export interface Unanswered {
  /** The two ends of the connection, as {@link keyOf} formats them. */
  readonly key: string
  /** The number of retransmissions or window probes since the last answer. */
  readonly attempts: number
}

const newline = 0x0a
const colon = 0x3a
const zero = 0x30
/** The offset of a column, counted from the local address, without the widths of the two addresses. */
const columns = { timer: 23, repeats: 35 } as const
/** `01`, retransmission of unacknowledged bytes, and `04`, a probe of a closed window. */
const timers = { repeat: 0x31, probe: 0x34 } as const

/** The connections of a table whose peers do not answer. Other lines cost a look at two bytes. */
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

/** Whether one of the two timers is running. */
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

/** `0100007F:1F90 0200007F:C350`, or the IPv6 equivalent. */
const rowKey = (ends: string): string => {
  const [local = "", remote = ""] = ends.split(" ")
  const port = (end: string) => Number.parseInt(end.slice(-4), 16)
  return key(port(local), addressOf(remote.slice(0, -5)), port(remote))
}

/**
 * An address is words of four bytes in the processor's byte order, which is little endian on all platforms of
 * Node.
 */
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

/** One text for each address: without a zone, compressed, and IPv4 if it is a mapped address. */
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

/** The key of a socket's connection; `undefined` for a socket without one. */
export const keyOf = ({ localPort, remoteAddress, remotePort }: Ends): string | undefined =>
  localPort === undefined || remoteAddress === undefined || remotePort === undefined
    ? undefined
    : key(localPort, canonical(remoteAddress), remotePort)

/**
 * Counters that grow when a peer has not answered in time, or a window stays closed. Which of them grows
 * depends on the connection's history and on the kernel.
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
 * A number that grows whenever a connection becomes {@link unanswered}, read from the text of
 * `/proc/net/netstat`; `undefined` if the text lacks it.
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
 * The {@link failures} of this network namespace. While they stay the same, the table has no new entries;
 * reading it takes a thousand times as long.
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

/**
 * The connections of this network namespace whose peers do not answer; `undefined` where the system has no
 * such table.
 */
export const read: Effect.Effect<ReadonlyArray<Unanswered> | undefined> = Effect.gen(function* () {
  const four = yield* readTable("tcp", false)
  const six = yield* readTable("tcp6", true)
  return four === undefined && six === undefined ? undefined : [...(four ?? []), ...(six ?? [])]
})
