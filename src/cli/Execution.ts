/**
 * One statement of a user: sends it to a server, and converts the result to output.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Client from "../client/Client.ts"
import type { ClientError } from "../client/ClientError.ts"
import type { Metadata, Parameters, QueryError } from "../engine/QueryApi.ts"
import * as Chunk from "../net/Chunk.ts"
import * as Printable from "../server/Printable.ts"
import * as Formats from "./Formats.ts"
import { LineBreaks } from "./LineBreaks.ts"
import * as QueryReceipt from "./QueryReceipt.ts"
import * as RowText from "./RowText.ts"
import type * as Stopwatch from "./Stopwatch.ts"
import { CsvReader } from "./terminal/CsvReader.ts"
import type { Style } from "./terminal/Style.ts"
import * as Table from "./terminal/Table.ts"

/** The appearance of results. */
export interface View {
  readonly shown: Formats.Shown
  /** Whether the user has named the format. If not, a server that lacks it may answer in another one. */
  readonly isChosen: boolean
  /** The columns of the terminal, if the result goes there. */
  readonly columns: number | undefined
  /** Whether text must be made safe for a terminal. */
  readonly isTerminal: boolean
  readonly style: Style
  /** Whether CSV keeps the CRLF of RFC 4180. */
  readonly crlf: boolean
  /** Whether CSV and TSV begin with the names of the columns. */
  readonly header: boolean
  /** Most rows of a table. */
  readonly maxRows: number
}

/** The progress of a statement. */
export class Progress {
  readonly time: Stopwatch.Stopwatch
  /** Milliseconds until the server had accepted it, and until the first byte of the result arrived. */
  acceptedAfter: number | undefined
  firstByteAfter: number | undefined
  /** Milliseconds until the whole result had been received. */
  endedAfter: number | undefined
  /** The id for requests of the engine's progress, if the server offers it, and that progress from 0 to 1. */
  queryId: string | undefined
  fraction: number | undefined
  /** Bytes of the result received so far. */
  bytes = 0
  /** The table being written. */
  table: Table.Table | undefined

  constructor(time: Stopwatch.Stopwatch) {
    this.time = time
  }

  /** The total time, or the time so far. */
  get elapsed(): number {
    return this.endedAfter ?? this.time()
  }

  /** The current wait, in words. */
  get phase(): string {
    return this.acceptedAfter === undefined
      ? "waiting for the server to accept the query"
      : "receiving the result"
  }
}

export interface Request {
  readonly query: string
  readonly parameters: Parameters
  readonly timeoutMs: number | undefined
  /** The metadata that identifies the caller. */
  readonly metadata?: Metadata | undefined
  readonly numbers?: "number" | "string" | undefined
  /** Whether the result is compared with the server's receipt. */
  readonly isVerified?: boolean | undefined
  /** Whether the server should track its engine's progress. */
  readonly isWatched?: boolean | undefined
}

type Failure = QueryError | ClientError

/**
 * Requests one format after the other, up to the first that the server has. A reject means that
 * nothing was run.
 */
export const askInTurn = <A, E extends { readonly _tag: string }, R>(
  [first, ...others]: readonly [Formats.Shown, ...Array<Formats.Shown>],
  ask: (shown: Formats.Shown) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  others.reduce(
    (asked, other) =>
      Effect.catchIf(asked, isUnsupported, (error) =>
        Effect.catchIf(ask(other), isUnsupported, () => Effect.fail(error))
      ),
    ask(first)
  )

const isUnsupported = (error: { readonly _tag: string }): boolean =>
  error._tag === "QueryError" && (error as QueryError).code === "unsupported_format"

/** Output: text that is safe for a terminal, or bytes. */
export type Written = Uint8Array | string

const query = (request: Request, format: Client.Query["format"]): Client.Query => ({
  query: request.query,
  parameters: request.parameters,
  ...(format === undefined ? {} : { format }),
  ...(request.numbers === "string" ? { numbers: request.numbers } : {}),
  ...(Object.keys(request.metadata ?? {}).length > 0 ? { metadata: request.metadata } : {}),
  ...(request.isVerified === true ? { receipt: true } : {}),
  ...(request.isWatched === true ? { progress: true } : {}),
  ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs })
})

/**
 * Sends the request, and returns the result as output once the query has been accepted; fails if it is
 * rejected. The result belongs to the scope. Ending the stream early cancels the query on the wire.
 */
export const open = Effect.fnUntraced(function* (
  client: Client.ClientService,
  request: Request,
  view: View,
  progress: Progress
): Effect.fn.Return<Stream.Stream<Written, Failure>, Failure, Scope.Scope> {
  const ask = (shown: Formats.Shown) =>
    Effect.map(
      client.query(query(request, Formats.requested(shown))),
      (response) => [response, shown] as const
    )
  const formats = view.isChosen ? ([view.shown] as const) : Formats.inTurn(view.shown, view.isTerminal)
  const [response, shown] = yield* askInTurn(formats, ask)
  const { accepted } = response
  progress.acceptedAfter = progress.time()
  progress.queryId = accepted.progress === true ? accepted.queryId : undefined
  const received = request.isVerified === true ? yield* QueryReceipt.verified(response) : response.chunks
  const chunks = Stream.map(received, (chunk) => {
    progress.firstByteAfter ??= progress.time()
    progress.bytes += chunk.length
    return chunk
  })
  const types = accepted.columns?.map(({ type }) => type) ?? []
  const ended = Effect.sync(() => {
    progress.endedAfter = progress.time()
  })
  return Stream.concat(written(chunks, { ...view, shown }, types, progress), Stream.fromEffectDrain(ended))
})

const written = <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  view: View,
  types: ReadonlyArray<string>,
  progress: Progress
): Stream.Stream<Written, E> => {
  switch (view.shown) {
    case "table":
    case "vertical":
      return table(chunks, view, types, progress)
    case "text/csv":
      if (!view.header) return shownSafely(rowText(chunks, RowText.csv(view.crlf ? "\r\n" : "\n")), view)
      return shownSafely(view.crlf ? chunks : withLineFeeds(chunks), view)
    case "tsv":
      return shownSafely(rowText(chunks, RowText.tsv(view.header)), view)
    case "markdown":
      return shownSafely(rowText(chunks, RowText.markdown(types)), view)
    case "application/json":
      return Stream.concat(shownSafely(chunks, view), Stream.succeed("\n"))
    default:
      return shownSafely(chunks, view)
  }
}

/** Bytes in a form that is safe for a terminal: see `Printable`. */
const shownSafely = <E>(chunks: Stream.Stream<Uint8Array, E>, view: View): Stream.Stream<Written, E> =>
  view.isTerminal ? escaped(chunks) : chunks

/** The bytes as text that can neither control a terminal nor hide anything. */
export const escaped = <E>(chunks: Stream.Stream<Uint8Array, E>): Stream.Stream<string, E> =>
  Stream.suspend(() => {
    const escaper = Printable.makeEscaper()
    return chunks.pipe(
      Stream.map((chunk) => {
        const text = escaper.push(chunk)
        Chunk.release(chunk)
        return text
      }),
      Stream.concat(Stream.sync(escaper.end)),
      Stream.filter((text) => text !== "")
    )
  })

const withLineFeeds = <E>(chunks: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    const breaks = new LineBreaks()
    return chunks.pipe(
      Stream.map((chunk) => breaks.push(chunk)),
      Stream.concat(Stream.sync(() => breaks.end())),
      Stream.filter((chunk) => chunk.length > 0)
    )
  })

const encoder = new TextEncoder()

const rowText = <E>(chunks: Stream.Stream<Uint8Array, E>, form: RowText.Form): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    const text = new RowText.RowText(form)
    return chunks.pipe(
      Stream.map((chunk) => {
        const made = text.push(chunk)
        Chunk.release(chunk)
        return made
      }),
      Stream.concat(Stream.sync(() => text.end())),
      Stream.filter((made) => made !== ""),
      Stream.map((made) => encoder.encode(made))
    )
  })

/** How long the first rows of a table wait for more, before the layout is decided from them. */
const sampleTime = "250 millis"

const table = <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  view: View,
  types: ReadonlyArray<string>,
  progress: Progress
): Stream.Stream<string, E> =>
  Stream.suspend(() => {
    const { columns, maxRows, style } = view
    const layout = view.shown === "vertical" ? "vertical" : columns === undefined ? "table" : "auto"
    const table = new Table.Table({ columns, layout, style, types, maxRows })
    progress.table = table
    const reader = new CsvReader(Table.fieldLimit(columns))
    const late = Stream.map(Stream.tick(sampleTime), () => undefined)
    return Stream.merge(escaped(chunks), late, { haltStrategy: "left" }).pipe(
      Stream.map((text) => (text === undefined ? table.tick() : table.push(reader.push(text)))),
      Stream.takeUntil(() => table.isFull),
      Stream.concat(Stream.sync(() => table.push(reader.end()) + table.end())),
      Stream.filter((text) => text !== "")
    )
  })
