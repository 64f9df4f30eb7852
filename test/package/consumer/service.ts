/**
 * What an embedder exports without a word about its types: the compiler has to find names for all of them.
 */
import {
  Address,
  Client,
  ClientPool,
  ConnectionEvents,
  ConnectionLog,
  Gateway,
  PolledQuery,
  QueryApi,
  Rows,
  Server,
  ServerConfig
} from "dataconn"
import { Effect, Schema, Stream } from "effect"

export const server = Server.layer({ listen: ["127.0.0.1:0"], heartbeatInterval: "1 second" })
export const stoppable = Server.stopsOnSecondSignal(server)
export const made = Server.make({ maxConnections: 10 })
export const configured = Server.layerConfig
export const gateway = Gateway.stopsOnSecondSignal(Gateway.layer({ backends: { main: ["127.0.0.1:11653"] } }))
export const running = Effect.flatMap(Server.Server, (server) => server.connections)

export const byText = Client.connect("127.0.0.1:11653")
export const byAddress = Client.connect(Address.tcp("127.0.0.1"))
export const client = Client.layerConnect("unix:/run/dataconn.sock", { connectTimeout: "1 second" })
export const responses = Effect.flatMap(byAddress, (client) => client.query({ query: "SELECT 1" }))
export const requests = Effect.flatMap(Client.Client, (client) => client.request(new Uint8Array(0)))

const Count = Schema.Struct({ symbol: Schema.String, n: Schema.BigInt, at: Rows.Timestamp })
export const rows = Effect.map(byAddress, (client) => client.rows({ query: "FROM counts" }, Count))
export const plainRows = Effect.map(byAddress, (client) => client.rows({ query: "FROM counts" }))
export const ofResponse = Effect.map(responses, (response) => Rows.fromResponse(response, Count))
export const counts = Effect.flatMap(rows, Stream.runCollect)
export const refused = Effect.flip(counts)
export const rowsQuery = Rows.query({ query: "FROM counts", receipt: true })

export const pool = ClientPool.connect("127.0.0.1:11653", { maxConnections: 2 })
export const poolByAddress = ClientPool.connect(Address.unix("/run/dataconn.sock"))
export const pooled = ClientPool.layerConnect("127.0.0.1:11653", { maxConnections: 2 })

export const api = QueryApi.makeEngine({
  formats: ["text/csv"],
  run: () => Effect.succeed({ chunks: Stream.empty })
})

export const polled = PolledQuery.makeEngine(() => ({
  init: (payload) => ({ _tag: "Accept", payload }),
  run: () => "complete",
  payload: () => new Uint8Array(0),
  toggle: () => {},
  end: () => {}
}))

export const log = ConnectionLog.layer({ maxBodyLength: 100 })
export const events = Effect.map(ConnectionEvents.ConnectionEvents, (listener) => listener)
export const config = ServerConfig.make({ maxConnections: 10 })
export const settings = ServerConfig.settings
export const clientDefaults = { ...Client.defaults, ...ClientPool.poolDefaults }
