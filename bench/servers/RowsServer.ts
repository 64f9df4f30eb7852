/**
 * DataConn with an engine that has rows ready. A query is `SHAPE BYTES REPETITIONS`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as QueryApi from "../../src/engine/QueryApi.ts"
import { QueryEngine } from "../../src/engine/QueryEngine.ts"
import * as Server from "../../src/server/Server.ts"
import * as RowShapes from "../support/RowShapes.ts"
import * as ServerProcess from "../support/ServerProcess.ts"

const chunkSize = 64 * 1024

const made = new Map<string, ReadonlyArray<Uint8Array>>()

const chunksOf = (shape: RowShapes.Shape, size: number): ReadonlyArray<Uint8Array> => {
  const key = `${shape} ${size}`
  const bytes = made.has(key) ? Buffer.alloc(0) : RowShapes.bytesOf(shape, size)
  const chunks =
    made.get(key) ??
    Array.from({ length: Math.ceil(bytes.length / chunkSize) }, (_, i) =>
      bytes.subarray(i * chunkSize, (i + 1) * chunkSize)
    )
  made.set(key, chunks)
  return chunks
}

const engine = Layer.succeed(
  QueryEngine,
  QueryApi.makeEngine({
    formats: ["application/x-ndjson"],
    run: ({ query }) => {
      const [shape, size, repetitions] = query.split(" ") as [RowShapes.Shape, string, string]
      const chunks = chunksOf(shape, Number(size))
      return Effect.succeed({
        columns: RowShapes.columnsOf(shape),
        chunks: Stream.flatMap(Stream.range(1, Number(repetitions)), () => Stream.fromIterable(chunks))
      })
    }
  })
)

const program = Effect.gen(function* () {
  const [address] = (yield* Server.Server).addresses
  if (address?._tag === "Tcp") ServerProcess.ready(address.port)
  return yield* Effect.never
})

program.pipe(
  Effect.provide(
    Server.layer({ listen: [`${ServerProcess.listen.host}:${ServerProcess.listen.port}`] }).pipe(
      Layer.provide(engine)
    )
  ),
  NodeRuntime.runMain
)
