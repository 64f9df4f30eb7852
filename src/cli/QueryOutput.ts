/**
 * Where `dataconn query` puts a result: standard output, a pager or a file, and nowhere an incomplete one that could
 * pass for whole.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { isPlatformError, type PlatformError } from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Chunk from "../net/Chunk.ts"
import type { Written } from "./Execution.ts"
import { exitCodes } from "./ExitCodes.ts"
import * as Pager from "./terminal/Pager.ts"

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
  /** Runs before something is written to where it stays, whole or not. */
  readonly onWrite: (written: Written) => Effect.Effect<void>
}

const encoder = new TextEncoder()

const bytesOf = (written: Written): Uint8Array =>
  typeof written === "string" ? encoder.encode(written) : written

const told = <E>(written: Stream.Stream<Written, E>, { onWrite }: Options): Stream.Stream<Written, E> =>
  Stream.tap(written, onWrite)

/** Ends quietly when nobody reads any more, as with `| head`, or when the user has left the pager. */
const runInto = <E>(
  written: Stream.Stream<Written, E>,
  sink: Sink.Sink<void, Written, never, PlatformError>,
  target: string
): Effect.Effect<void, E | OutputError> =>
  Stream.run(written, sink).pipe(
    Effect.catchIf(isBrokenPipe, () => Effect.void),
    Effect.mapError((error) =>
      isPlatformError(error) ? new OutputError({ target, detail: detail(error) }) : (error as E)
    )
  )

/** What a pipe tells after the last write, when nobody else listens: that nobody reads is no failure. */
const toldLate = (error: NodeJS.ErrnoException): void => {
  if (error.code !== "EPIPE") process.exitCode = exitCodes.failed
}

const hearLate = (): void => {
  if (!process.stdout.listeners("error").includes(toldLate)) process.stdout.on("error", toldLate)
}

/** Writes to standard output as fast as it is taken. */
export const toStdout = Effect.fnUntraced(function* <E>(
  written: Stream.Stream<Written, E>,
  options: Options
): Effect.fn.Return<void, E | OutputError, Stdio.Stdio> {
  const stdio = yield* Stdio.Stdio
  hearLate()
  yield* runInto(told(written, options), stdio.stdout(), "standard output")
})

/** Writes to a pager, and waits until the user has left it. */
export const toPager = <E>(
  written: Stream.Stream<Written, E>,
  options: Options
): Effect.Effect<void, E | OutputError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const pager = yield* Pager.open
      yield* runInto(told(written, options), pager.sink, pager.name)
      const problem = yield* pager.close
      if (problem !== undefined) return yield* new OutputError({ target: pager.name, detail: problem })
    })
  )

/** Whether what was written leaves a terminal at the beginning of a line. */
export const endsLine = (written: Written): boolean => bytesOf(written.slice(-1)).at(-1) === 0x0a

/** Where `/dev/tty` and `/dev/stdout` lead on a terminal. */
const terminals = /^\/dev\/(tty|pts\/|console$)/

/** Whether the name of a file leads to a terminal. */
export const isTerminal = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<boolean, never, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  return terminals.test(yield* Effect.orElseSucceed(fs.realPath(file), () => file))
})

/**
 * Writes to a file that appears under its name once it is whole, and releases the chunks.
 *
 * **Details**
 *
 * They go to a temporary file beside it, which then takes its place; whatever happens before leaves a file
 * that was there as it was. A device or a pipe has no place to take: it is written to directly.
 */
export const toFile = Effect.fnUntraced(function* <E>(
  written: Stream.Stream<Written, E>,
  file: string,
  options: Options
): Effect.fn.Return<void, E | OutputError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const failed = failedAt(file)
  // A link stays, and the file that it leads to is replaced.
  const target = yield* Effect.orElseSucceed(fs.realPath(file), () => file)
  const before = yield* Effect.option(fs.stat(target))
  if (Option.isSome(before) && before.value.type !== "File") {
    // What appends names no position to write at, which only a block device has.
    const flag = before.value.type === "BlockDevice" ? "w" : "a"
    const open = failed(fs.open(target, { flag }))
    return yield* Effect.scoped(
      Effect.flatMap(open, (device) => writeAll(told(written, options), device, failed))
    )
  }
  const suffix = (yield* Random.nextIntBetween(0, 2 ** 32)).toString(16)
  const partial = path.join(path.dirname(target), `.${path.basename(target)}.${suffix}.partial`)
  const mode = Option.isSome(before) ? before.value.mode & 0o777 : 0o666
  const writing = Effect.flatMap(failed(fs.open(partial, { flag: "wx", mode })), (opened) =>
    Effect.andThen(writeAll(written, opened, failed), failed(opened.sync))
  )
  yield* Effect.scoped(writing).pipe(
    Effect.andThen(failed(fs.rename(partial, target))),
    Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true })))
  )
})

type Failed = <A, R>(effect: Effect.Effect<A, PlatformError, R>) => Effect.Effect<A, OutputError, R>

/** Errors of the system as errors of this file. */
export const failedAt = (file: string): Failed =>
  Effect.mapError((error: PlatformError) => new OutputError({ target: file, detail: detail(error) }))

/** Writes all of it to an open file, and releases the chunks. */
export const writeAll = <E>(
  written: Stream.Stream<Written, E>,
  file: FileSystem.File,
  failed: Failed
): Effect.Effect<void, E | OutputError> =>
  Stream.runForEach(written, (part) =>
    Effect.map(failed(file.writeAll(bytesOf(part))), () => {
      if (typeof part !== "string") Chunk.release(part)
    })
  )
