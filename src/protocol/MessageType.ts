/** The nine message types and their properties. */

/**
 * The message types by their letter on the wire (PROTOCOL.md §1).
 *
 * @category models
 * @since 0.1.0
 */
export const Type = {
  Request: 0x52,
  Cancel: 0x43,
  Accept: 0x41,
  Reject: 0x4a,
  Intermediate: 0x49,
  Final: 0x46,
  Error: 0x45,
  CancelAcknowledged: 0x4b,
  Heartbeat: 0x48
} as const

/**
 * One of the message types.
 *
 * @category models
 * @since 0.1.0
 */
export type Type = (typeof Type)[keyof typeof Type]

/**
 * A message.
 *
 * **Gotchas**
 *
 * The body of a decoded message may be a view of the chunk it arrived in, and is owned if that chunk is
 * (`Chunk`). `skipped` is the size in bytes of a request that was too long to be stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Message {
  readonly type: Type
  readonly body: Uint8Array
  readonly skipped?: number
}

interface Properties {
  readonly name: string
  readonly hasBody: boolean
  readonly isTerminal: boolean
}

// The table of PROTOCOL.md §1.
const properties: Readonly<Record<Type, Properties>> = {
  [Type.Request]: { name: "Request", hasBody: true, isTerminal: false },
  [Type.Cancel]: { name: "Cancel", hasBody: false, isTerminal: false },
  [Type.Accept]: { name: "Acknowledge Request", hasBody: true, isTerminal: false },
  [Type.Reject]: { name: "Reject Request", hasBody: true, isTerminal: true },
  [Type.Intermediate]: { name: "Intermediate Chunk", hasBody: true, isTerminal: false },
  [Type.Final]: { name: "Final Chunk", hasBody: true, isTerminal: true },
  [Type.Error]: { name: "Error", hasBody: true, isTerminal: true },
  [Type.CancelAcknowledged]: { name: "Acknowledge Cancel", hasBody: false, isTerminal: true },
  [Type.Heartbeat]: { name: "Heartbeat", hasBody: false, isTerminal: false }
}

/**
 * The letter of the type on the wire.
 *
 * @category formatting
 * @since 0.1.0
 */
export const letter = (type: Type): string => String.fromCharCode(type)

/**
 * The name of the type in PROTOCOL.md §1.
 *
 * @category formatting
 * @since 0.1.0
 */
export const name = (type: Type): string => properties[type].name

/**
 * Whether messages of the type may have a body, which may be empty.
 *
 * @category predicates
 * @since 0.1.0
 */
export const hasBody = (type: Type): boolean => properties[type].hasBody

/**
 * Whether a message of the type ends the response.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isTerminal = (type: Type): boolean => properties[type].isTerminal

/**
 * Whether the byte is a message type.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isType = (type: number): type is Type => properties[type as Type] !== undefined
