/**
 * The peer `@grpc/grpc-js`: one server-streaming method. Messages are bytes as they are, so nothing is spent on
 * Protocol Buffers; the first message of a response is the accept.
 */
import type { MethodDefinition } from "@grpc/grpc-js"

const asIs = {
  serialize: (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  deserialize: (bytes: Buffer) => bytes
}

export const Query: MethodDefinition<Uint8Array, Uint8Array> = {
  path: "/dataconn.Bench/Query",
  requestStream: false,
  responseStream: true,
  requestSerialize: asIs.serialize,
  requestDeserialize: asIs.deserialize,
  responseSerialize: asIs.serialize,
  responseDeserialize: asIs.deserialize
}

/** Windows that a stream never waits for on a local network, and messages of any size. */
export const options = {
  "grpc-node.flow_control_window": 16 * 1024 * 1024,
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.enable_channelz": 0
}
