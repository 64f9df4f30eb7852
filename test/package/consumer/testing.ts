/**
 * The same of `dataconn/testing`, alone.
 */
import { FaultySocket, MemorySocket, ScriptedPeer, StepEngine, TestServer } from "dataconn/testing"
import { Effect } from "effect"

export const client = TestServer.connect()
export const answer = Effect.flatMap(client, (client) => client.request(new Uint8Array(0)))
export const query = Effect.flatMap(client, (client) => client.query({ query: "SELECT 1" }))
export const sockets = MemorySocket.pair({ capacity: 1024 })
export const faulty = Effect.map(sockets, ([socket]) => FaultySocket.make(socket, { failAt: 1 }))
export const peer = Effect.flatMap(sockets, ([socket]) => ScriptedPeer.make(socket))
export const frame = ScriptedPeer.frame("R SELECT 1")
export const steps = StepEngine.make({ finalizerMillis: 10 })
export const engine = Effect.map(steps, ({ engine }) => engine)
