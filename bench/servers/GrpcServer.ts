/**
 * The server of the gRPC peer: writes until the stream asks it to wait.
 */
import { once } from "node:events"
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js"
import * as GrpcQuery from "../support/GrpcQuery.ts"
import * as ServerProcess from "../support/ServerProcess.ts"
import * as Workload from "../support/Workload.ts"

const respond = async (call: ServerWritableStream<Uint8Array, Uint8Array>): Promise<void> => {
  const next = Workload.source(Workload.parse(call.request))
  call.write(Workload.accept)
  for (let chunk = next(); chunk !== undefined && !call.cancelled; chunk = next()) {
    if (!call.write(chunk)) await once(call, "drain")
  }
  call.end()
}

const server = new Server(GrpcQuery.options)
server.addService(
  { Query: GrpcQuery.Query },
  {
    Query: (call: ServerWritableStream<Uint8Array, Uint8Array>) =>
      void respond(call).catch(() => call.destroy())
  }
)
const { host, port } = ServerProcess.listen
server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
  if (error !== null) throw error
  ServerProcess.ready(bound)
})
