/**
 * What holds for all tests.
 *
 * Property tests look at the same inputs in every run, so that a run tells of the code and not of luck.
 * `FC_SEED` looks at others.
 *
 * The processes and threads that tests start keep what Node has compiled for the next ones: half of their start is that.
 */
import fc from "fast-check"
import { compiled } from "./bundle.ts"

fc.configureGlobal({ seed: Number(process.env["FC_SEED"] ?? 11653) })

process.env["NODE_COMPILE_CACHE"] = compiled
