/**
 * The peer Effect RPC: one procedure with a stream of bytes as its result; its first element is the accept.
 */

import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

export const Queries = RpcGroup.make(
  Rpc.make("Query", { payload: { request: Schema.Uint8Array }, success: Schema.Uint8Array, stream: true })
)
