/**
 * Where `dataconn query` puts a result: standard output or a file, and nowhere an incomplete one that could
 * pass for whole.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { isPlatformError, type PlatformError } from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Chunk from "../net/Chunk.ts"
import * as Printable from "../server/Printable.ts"

/** The result could not be written. `target` is the file, or `standard output`. */
export class OutputError extends Schema.TaggedError<OutputError>()("OutputError", {
  target: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot write to ${this.target}: ${this.detail}`
  }
}

const detail = (error: PlatformError): string =>
  error.cause instanceof Error ? error.cause.message : error.message

const isBrokenPipe = (error: unknown): boolean =>
  isPlatformError(error) && (error.cause as NodeJS.ErrnoException | undefined)?.code === "EPIPE"

export interface Options {
  /** Called before bytes are written to where they stay, whole or not. */
  readonly onWrite: () => void
}

const encoder = new TextEncoder()

/** What a terminal is shown of a result: see `Printable`. */
const forTerminal = <E>(chunks: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    const escaper = Printable.makeEscaper()
    return chunks.pipe(
      Stream.map(escaper.push),
      Stream.concat(Stream.sync(escaper.end)),
      Stream.filter((text) => text !== ""),
      Stream.map((text) => encoder.encode(text))
    )
  })

const told = <E>(chunks: Stream.Stream<Uint8Array, E>, { onWrite }: Options): Stream.Stream<Uint8Array, E> =>
  Stream.map(chunks, (chunk) => {
    onWrite()
    return chunk
  })

/**
 * Writes the chunks to standard output as fast as it takes them.
 *
 * **Details**
 *
 * Ends quietly when nobody reads any more, as with `| head`. A terminal gets them escaped (`Printable`), and with
 * `finalNewline` a line break after the last one; a pipe or file gets the chunks and nothing else.
 */
export const toStdout = Effect.fnUntraced(function* <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  options: Options & { readonly finalNewline: boolean }
): Effect.fn.Return<void, E | OutputError, Stdio.Stdio> {
  const stdio = yield* Stdio.Stdio
  const isTerminal = yield* stdio.stdoutIsTerminal
  const shown = isTerminal ? forTerminal(chunks) : chunks
  const newline = isTerminal && options.finalNewline ? Stream.succeed("\n") : Stream.empty
  const all: Stream.Stream<Uint8Array | string, E> = Stream.concat(told(shown, options), newline)
  yield* Stream.run(all, stdio.stdout()).pipe(
    Effect.catchIf(isBrokenPipe, () => Effect.void),
    Effect.mapError((error) =>
      isPlatformError(error)
        ? new OutputError({ target: "standard output", detail: detail(error) })
        : (error as E)
    )
  )
})

/** Where `/dev/tty` and `/dev/stdout` lead on a terminal. */
const terminals = /^\/dev\/(tty|pts\/|console$)/

/**
 * Writes the chunks to a file that appears under its name once it is whole, and releases them.
 *
 * **Details**
 *
 * They go to a temporary file beside it, which then takes its place; whatever happens before leaves a file
 * that was there as it was. A device or a pipe has no place to take: it is written to directly, escaped if it is a
 * terminal.
 */
export const toFile = Effect.fnUntraced(function* <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  file: string,
  options: Options
): Effect.fn.Return<void, E | OutputError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const failed = Effect.mapError(
    (error: PlatformError) => new OutputError({ target: file, detail: detail(error) })
  )
  // A link stays, and the file that it leads to is replaced.
  const target = yield* Effect.orElseSucceed(fs.realPath(file), () => file)
  const before = yield* Effect.option(fs.stat(target))
  if (Option.isSome(before) && before.value.type !== "File") {
    const shown = terminals.test(target) ? forTerminal(chunks) : chunks
    // What appends names no position to write at, which only a block device has.
    const flag = before.value.type === "BlockDevice" ? "w" : "a"
    const open = failed(fs.open(target, { flag }))
    return yield* Effect.scoped(
      Effect.flatMap(open, (device) => writeAll(told(shown, options), device, failed))
    )
  }
  const suffix = (yield* Random.nextIntBetween(0, 2 ** 32)).toString(16)
  const partial = path.join(path.dirname(target), `.${path.basename(target)}.${suffix}.partial`)
  const mode = Option.isSome(before) ? before.value.mode & 0o777 : 0o666
  const writing = Effect.flatMap(failed(fs.open(partial, { flag: "wx", mode })), (opened) =>
    Effect.andThen(writeAll(chunks, opened, failed), failed(opened.sync))
  )
  yield* Effect.scoped(writing).pipe(
    Effect.andThen(failed(fs.rename(partial, target))),
    Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true })))
  )
})

type Failed = <A, R>(effect: Effect.Effect<A, PlatformError, R>) => Effect.Effect<A, OutputError, R>

const writeAll = <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  file: FileSystem.File,
  failed: Failed
): Effect.Effect<void, E | OutputError> =>
  Stream.runForEach(chunks, (chunk) => Effect.map(failed(file.writeAll(chunk)), () => Chunk.release(chunk)))
