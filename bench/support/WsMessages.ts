/**
 * The text messages by which the `ws` server says what the binary ones are.
 */
import * as Workload from "./Workload.ts"

/** Accepts; several messages follow. */
export const accept = Buffer.concat([Buffer.from("A"), Workload.accept])
/** Accepts; the next message is the last. */
export const acceptSingle = Buffer.concat([Buffer.from("B"), Workload.accept])
/** The next message is the last. */
export const last = Buffer.from("F")

/** Whether a text message says that the next message is the last. */
export const announcesLast = (text: Buffer): boolean => text[0] === acceptSingle[0] || text[0] === last[0]
