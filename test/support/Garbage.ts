import { setImmediate } from "node:timers/promises"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as Effect from "effect/Effect"

/** Has everything collected that nobody refers to. */
export const collect: Effect.Effect<void> = Effect.promise(async () => {
  V8.setFlagsFromString("--expose-gc")
  // What has been referred to weakly lives on until the end of the turn in which it was made.
  await setImmediate()
  Vm.runInNewContext("gc")()
})
