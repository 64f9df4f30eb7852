/**
 * Where the lines of a log go: a stream whose reader may be slow, or gone.
 */
import type { Writable } from "node:stream"

/** Takes a line, which has no line break at its end. */
export type Sink = (line: string) => void

/** Settings of a sink. */
export interface Options {
  /** How many bytes may wait for the reader of the stream. */
  readonly maxBuffered: number
  /** The line that says how many lines were dropped. */
  readonly dropped: (count: number) => string
}

/**
 * A sink that never holds more than `maxBuffered` bytes, or one line that is longer: while its reader is slower, lines are dropped and counted.
 * Their number is said as soon as there is room for it.
 */
export const toStream = (
  stream: Pick<Writable, "write" | "writable" | "writableLength" | "once">,
  { dropped, maxBuffered }: Options
): Sink => {
  let count = 0
  const write = (line: string): boolean => {
    const text = `${line}\n`
    const waiting = stream.writableLength
    if (waiting > 0 && waiting + Buffer.byteLength(text) > maxBuffered) return false
    stream.write(text)
    return true
  }
  const confess = (): boolean => {
    if (count > 0 && !write(dropped(count))) return false
    count = 0
    return true
  }
  return (line) => {
    if (!stream.writable) return
    if (confess() && write(line)) return
    if (count++ === 0) stream.once("drain", confess)
  }
}
