import { NodeRuntime } from "@effect/platform-node"
import { Gateway } from "dataconn"
import { Layer } from "effect"

const tokens = (): Gateway.Tokens => ({
  tokens: [{ name: "alice", token: process.env["ALICE_TOKEN"] ?? "", tenant: "acme", readOnly: true }]
})

Gateway.layer({
  http: ["127.0.0.1:8080"],
  backends: { main: ["127.0.0.1:11653"], eu: ["db1:11653", "db2:11653"] },
  httpTokens: tokens,
  httpRules: { rules: [{ tenant: "acme", backend: "eu" }] }
}).pipe(Gateway.stopsOnSecondSignal, Layer.launch, NodeRuntime.runMain({ teardown: Gateway.teardown }))
