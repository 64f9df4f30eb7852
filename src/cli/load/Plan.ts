/**
 * The requests of each mode of `dataconn bench`.
 */
import * as QueryApi from "../../engine/QueryApi.ts"
import { type Kind, sized, type Task, weigh } from "./Task.ts"

export const modes = ["small", "bulk", "fan-out", "cancel", "idle", "mix"] as const

export type Mode = (typeof modes)[number]

/** A mode's words for help, and its defaults. */
export interface Defaults {
  readonly doc: string
  readonly clients: number
  readonly durationMillis: number
  /** How many requests each connection makes. */
  readonly requests: number
  /** The size of each large result, in bytes. */
  readonly size: number
}

const megabyte = 1e6

export const defaults: Record<Mode, Defaults> = {
  small: {
    doc: "small queries, one after the other on each connection, or at a rate",
    clients: 16,
    durationMillis: 10_000,
    requests: Number.POSITIVE_INFINITY,
    size: 0
  },
  bulk: {
    doc: "large results, one after the other, every byte verified",
    clients: 1,
    durationMillis: 10_000,
    requests: Number.POSITIVE_INFINITY,
    size: 100 * megabyte
  },
  "fan-out": {
    doc: "a hundred clients that each take one large result at the same time, every byte verified",
    clients: 100,
    durationMillis: 600_000,
    requests: 1,
    size: 100 * megabyte
  },
  cancel: {
    doc: "the time from a cancel to its acknowledgement, on responses at full speed",
    clients: 4,
    durationMillis: 10_000,
    requests: Number.POSITIVE_INFINITY,
    size: 0
  },
  idle: {
    doc: "connections that ask for nothing, and their heartbeats",
    clients: 1000,
    durationMillis: 30_000,
    requests: Number.POSITIVE_INFINITY,
    size: 0
  },
  mix: {
    doc: "small queries, large results and cancels side by side, on eight, one and one of ten connections",
    clients: 20,
    durationMillis: 10_000,
    requests: Number.POSITIVE_INFINITY,
    size: 10 * megabyte
  }
}

/** The user's choices. */
export interface Given {
  readonly mode: Mode
  readonly clients: number
  readonly size: number
  /** The user's own query, in place of the small one. */
  readonly query: string | undefined
  readonly format: QueryApi.Format
}

const smallQuery = "SELECT 42 AS answer"
/** More rows than any client waits for; servers make them only on demand. */
const endlessRows = 10_000_000_000

const ask = (query: string, format: QueryApi.Format): Uint8Array => QueryApi.encodeRequest({ query, format })

const ndjson = "application/x-ndjson"

const small = ({ format, query }: Given): Kind => ({
  name: query === undefined ? "small" : "query",
  request: ask(query ?? smallQuery, format)
})

const bulk = ({ size }: Given): Kind => {
  const { expected, query } = sized(size)
  return { name: "bulk", request: ask(query, ndjson), expected }
}

const cancel = (): Kind => ({
  name: "cancel",
  request: ask(`SELECT range AS n FROM range(${endlessRows})`, ndjson),
  cancels: true
})

const idle: Kind = { name: "idle", request: undefined }

/** The error for flags that have no effect on a mode. */
export const withoutEffect = (
  mode: Mode,
  given: {
    readonly size: boolean
    readonly query: boolean
    readonly rate: boolean
    readonly requests: boolean
  }
): string | undefined => {
  if (mode === "idle" && (given.rate || given.requests)) {
    return `--${given.rate ? "rate" : "requests"} has no effect on idle, which asks for nothing`
  }
  if (given.size && defaults[mode].size === 0) {
    return `--size has no effect on ${mode}: it is for bulk, fan-out and mix`
  }
  return given.query && !queried.includes(mode)
    ? `--query has no effect on ${mode}: it is for ${queried.join(" and ")}`
    : undefined
}

/** The modes with small queries, which can be replaced by the user's own. */
export const queried: ReadonlyArray<Mode> = ["small", "mix"]

const weights = [8, 1, 1]

const kinds = (given: Given): ReadonlyArray<Kind> => {
  switch (given.mode) {
    case "small":
      return [small(given)]
    case "bulk":
    case "fan-out":
      return [bulk(given)]
    case "cancel":
      return [cancel()]
    case "idle":
      return [idle]
    case "mix":
      return [small(given), bulk(given), cancel()]
  }
}

/** The kinds of requests, and the kind of each connection. */
export const plan = (given: Given): Pick<Task, "connections" | "kinds"> => ({
  kinds: kinds(given),
  connections: weigh(given.mode === "mix" ? weights : [1], given.clients)
})

/**
 * The same for a raw server that answers with as many bytes, or `undefined` if the comparison
 * would be meaningless.
 */
export const ceiling = (
  given: Given
): { readonly bytes: number; readonly kinds: ReadonlyArray<Kind> } | undefined => {
  const request = ask(smallQuery, ndjson)
  switch (given.mode) {
    case "small":
      return { bytes: 16, kinds: [{ name: "small", request }] }
    case "bulk":
    case "fan-out": {
      const { expected, query } = sized(given.size)
      // The bytes differ from the query's, so only their number is checked.
      const { bytes } = expected
      return { bytes, kinds: [{ name: "bulk", request: ask(query, ndjson), expected: { bytes } }] }
    }
    default:
      return undefined
  }
}
