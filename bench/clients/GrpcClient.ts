/**
 * The client of the gRPC peer: a channel with a connection of its own for each connection of the load.
 */
import { Client, credentials } from "@grpc/grpc-js"
import * as GrpcQuery from "../support/GrpcQuery.ts"
import * as LoadClient from "../support/LoadClient.ts"

const { path, requestSerialize, responseDeserialize } = GrpcQuery.Query
const options = { ...GrpcQuery.options, "grpc.use_local_subchannel_pool": 1 }

await LoadClient.main(async (port) => {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options)
  await new Promise<void>((resolve, reject) =>
    client.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve()))
  )
  return {
    request: (body, onBytes) =>
      new Promise((resolve, reject) => {
        let frames = 0
        const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, body)
        call.on("data", (bytes: Uint8Array) => {
          if (frames++ > 0) onBytes(bytes)
        })
        call.on("error", reject)
        call.on("end", () => resolve(frames))
      }),
    close: () => client.close()
  }
})
