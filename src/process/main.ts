/**
 * The program of an engine's process; `ChildProcess` starts it.
 */
import * as EngineProcess from "./EngineProcess.ts"

EngineProcess.run()
