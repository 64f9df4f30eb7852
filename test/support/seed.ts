/**
 * Property tests look at the same inputs in every run, so that a run tells of the code and not of luck.
 * `FC_SEED` looks at others.
 */
import fc from "fast-check"

fc.configureGlobal({ seed: Number(process.env["FC_SEED"] ?? 11653) })
