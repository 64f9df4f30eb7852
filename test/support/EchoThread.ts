/**
 * A thread that sends back what comes, on the connection between threads that it is started with. Told to, it ends
 * without a word.
 */
import { parentPort, workerData } from "node:worker_threads"
import * as Effect from "effect/Effect"
import type * as Transport from "../../src/net/Transport.ts"
import * as ThreadTransport from "../../src/threads/ThreadTransport.ts"

parentPort?.on("message", () => process.exit(0))

const waiting: Array<Transport.Chunks> = []
let isWriting = false

const echo = (transport: Transport.Transport): void => {
  while (!isWriting) {
    const parts = waiting.shift()
    if (parts === undefined) break
    // Copies: these chunks' memory is read into again.
    const copies = parts.map((part) => new Uint8Array(part)) as unknown as Transport.Chunks
    const written = transport.write(copies, () => {
      isWriting = false
      transport.resume()
      echo(transport)
    })
    isWriting = written === undefined
  }
  if (isWriting) transport.pause()
}

await Effect.runPromise(
  Effect.scoped(
    Effect.flatMap(ThreadTransport.open(workerData), (transport) =>
      Effect.callback<void>((resume) =>
        transport.read({
          received: (chunks) => {
            waiting.push(chunks)
            echo(transport)
          },
          ended: () => resume(Effect.void)
        })
      )
    )
  )
)
process.exit(0)
