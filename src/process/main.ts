/**
 * The program of a process that an engine runs in; `ChildProcess` starts it.
 */
import * as EngineProcess from "./EngineProcess.ts"

EngineProcess.run()
