import { FramedConnection, LengthDelimited, type Transport } from "dataconn/toolbox"
import { Effect, Stream } from "effect"

/** Two bytes of length, then the body: Erlang's `{packet, 2}`. */
const codec = LengthDelimited.codec({
  fieldWidth: 2,
  byteOrder: "big",
  typeBytes: 0,
  lengthCounts: "body",
  maxFrameSize: 4096
})

/** Sends each frame back, and reads no more from a peer that does not read. */
export const echo = Effect.fnUntraced(function* (open: Transport.Open) {
  const connection = yield* FramedConnection.make(yield* open, codec, { writeTimeoutMillis: 30_000 })
  yield* Stream.runForEachArray(connection.messages, (frames) => connection.writer.write(() => frames))
}, Effect.scoped)
