/**
 * The commands of `dataconn`, in the order of its help.
 */
import * as DebugCommand from "./debug/DebugCommand.ts"
import * as GatewayCommand from "./GatewayCommand.ts"
import * as BenchCommand from "./load/BenchCommand.ts"
import * as PingCommand from "./PingCommand.ts"
import * as QueryCommand from "./QueryCommand.ts"
import * as ReplCommand from "./repl/ReplCommand.ts"
import * as ReplayCommand from "./replay/ReplayCommand.ts"
import * as ServeCommand from "./ServeCommand.ts"

/** Commands that run servers: their flags are the settings. */
export const servers = [ServeCommand.command, GatewayCommand.command] as const

/** Commands that connect to servers. */
export const clients = [
  QueryCommand.command,
  ReplCommand.command,
  PingCommand.command,
  BenchCommand.command,
  DebugCommand.command,
  ReplayCommand.command
] as const
