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

/**
 * Writes the chunks to standard output as fast as it takes them.
 *
 * **Details**
 *
 * Ends quietly when nobody reads any more, as with `| head`. With `finalNewline` a terminal gets a line break
 * after the last chunk; a pipe or file gets the chunks and nothing else.
 */
export const toStdout = Effect.fnUntraced(function* <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  options: { readonly finalNewline: boolean }
): Effect.fn.Return<void, E | OutputError, Stdio.Stdio> {
  const stdio = yield* Stdio.Stdio
  const newline = options.finalNewline && (yield* stdio.stdoutIsTerminal)
  const all: Stream.Stream<Uint8Array | string, E> = newline
    ? Stream.concat(chunks, Stream.succeed("\n"))
    : chunks
  yield* Stream.run(all, stdio.stdout()).pipe(
    Effect.catchIf(isBrokenPipe, () => Effect.void),
    Effect.mapError((error) =>
      isPlatformError(error)
        ? new OutputError({ target: "standard output", detail: detail(error) })
        : (error as E)
    )
  )
})

/**
 * Writes the chunks to a file that appears under its name once it is whole, and releases them.
 *
 * **Details**
 *
 * They go to a temporary file beside it, which then takes its place; whatever happens before leaves a file
 * that was there as it was. A device or a pipe has no place to take: it is written to directly.
 */
export const toFile = Effect.fnUntraced(function* <E>(
  chunks: Stream.Stream<Uint8Array, E>,
  file: string
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
    return yield* Effect.scoped(writeTo(chunks, fs.open(target, { flag: "w" }), failed, false))
  }
  const suffix = (yield* Random.nextIntBetween(0, 2 ** 32)).toString(16)
  const partial = path.join(path.dirname(target), `.${path.basename(target)}.${suffix}.partial`)
  const mode = Option.isSome(before) ? before.value.mode & 0o777 : 0o666
  yield* Effect.scoped(writeTo(chunks, fs.open(partial, { flag: "wx", mode }), failed, true)).pipe(
    Effect.andThen(failed(fs.rename(partial, target))),
    Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true })))
  )
})

type Failed = <A, R>(effect: Effect.Effect<A, PlatformError, R>) => Effect.Effect<A, OutputError, R>

const writeTo = Effect.fnUntraced(function* <E, R>(
  chunks: Stream.Stream<Uint8Array, E>,
  open: Effect.Effect<FileSystem.File, PlatformError, R>,
  failed: Failed,
  sync: boolean
): Effect.fn.Return<void, E | OutputError, R> {
  const file = yield* failed(open)
  yield* Stream.runForEach(chunks, (chunk) =>
    Effect.map(failed(file.writeAll(chunk)), () => Chunk.release(chunk))
  )
  if (sync) yield* failed(file.sync)
})
