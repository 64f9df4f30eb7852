/**
 * Starts the processes that engines run in. Each answers DataConn's protocol on inherited
 * descriptors, one for each concurrent query: no other process can reach them, and each end sees when
 * the other one has closed.
 */
import * as NodeProcess from "node:child_process"
import { once } from "node:events"
import { accessSync, closeSync, constants, mkdirSync, openSync, rmSync } from "node:fs"
import type * as Net from "node:net"
import { devNull } from "node:os"
import { join, parse } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Spill from "../engine/duckdb/Spill.ts"
import * as Tcp from "../net/Tcp.ts"
import type * as Transport from "../net/Transport.ts"
import * as Cloning from "./Cloning.ts"
import * as Exhaustion from "./Exhaustion.ts"
import * as Launcher from "./Launcher.ts"
import type { Exit } from "./Lifecycle.ts"
import * as MemoryLimit from "./MemoryLimit.ts"
import * as Messages from "./Messages.ts"
import * as OomScore from "./OomScore.ts"
import * as Output from "./Output.ts"
import * as Program from "./Program.ts"

/**
 * Inputs for the options of an engine's process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  /** An empty directory that is removed when the process has ended; set if the setting `directory` is. */
  readonly directory: string | undefined
  /** Most memory that the process may take, in bytes; `Infinity` if there is no limit. */
  readonly memory: number
  /**
   * Whether an earlier process was ready. A later one should then serve as much of the same data as it can.
   */
  readonly isLater: boolean
}

export interface Options {
  /** The module of the engine, as a URL. */
  readonly module: string
  readonly options: (place: Place) => unknown
  /** The program that runs the child, with its first arguments. */
  readonly command: readonly [program: string, ...args: ReadonlyArray<string>]
  readonly title: string
  readonly connections: number
  readonly memory: number
  /** Whether another process can replace it without loss. */
  readonly isReplaceable: boolean
  /** The parent directory of each process's own directory. */
  readonly directory: string | undefined
  readonly beatMillis: number
  readonly cancelGraceMillis: number
}

/**
 * Node of this process with its arguments, except those that open a debugger's port. Objects of queries stay
 * young (`cli/Heap` has the reason).
 */
export const thisNode = (): Options["command"] => [
  process.execPath,
  "--no-allocation-site-pretenuring",
  ...process.execArgv.filter((argument) => !/^--(inspect|debug)/.test(argument)),
  ...(process.allowedNodeEnvironmentFlags.has("--disable-sigusr1") ? ["--disable-sigusr1"] : [])
]

/** How long the last messages of an ended process are awaited, in milliseconds. */
const lastWordsMillis = 1000

/** How long a process must be found exhausted before that is reported, in milliseconds. */
const exhaustedMillis = 3000

/** The number of processes so far, for unique names: engines that replace each other share a directory. */
let count = 0

export const launch = (options: Options): Launcher.Launch => {
  const shared = { isLater: false }
  return (place, listener, notes) => {
    const nth = ++count
    const directory = options.directory === undefined ? undefined : join(options.directory, `${place}-${nth}`)
    try {
      if (directory !== undefined) makeDirectory(directory, shared)
      const child = OomScore.prepare()(() => start(options))
      if (child.pid !== undefined)
        return new Child({ ...options, notes }, shared, place, directory, child, listener)
      return Launcher.unstarted(`${options.title} ${place}`, listener, refusal(child, directory))
    } catch (cause) {
      remove(directory)
      return Launcher.unstarted(`${options.title} ${place}`, listener, Promise.reject(cause))
    }
  }
}

/** The reason why the system has started no process. The child's streams exist all or not at all. */
const refusal = async (child: NodeProcess.ChildProcess, directory: string | undefined): Promise<never> => {
  const [error] = await once(child, "error")
  for (const stream of child.stdio ?? []) stream?.destroy()
  remove(directory)
  throw error
}

/** A later process does without a directory as far as it can, and logs that. */
const makeDirectory = (directory: string, { isLater }: Pick<Place, "isLater">): void => {
  if (isLater) Spill.ensure(directory)
  else mkdirSync(directory, { mode: 0o700 })
}

/** A directory that cannot be removed now, such as for lack of descriptors, is removed by the next server. */
const remove = (directory: string | undefined): void => {
  try {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  } catch {
    // A directory left behind is no reason to end.
  }
}

interface ChildOptions extends Options {
  readonly notes: ReadonlyArray<unknown>
}

class Child implements Launcher.Process {
  readonly name: string
  private readonly options: ChildOptions
  /** Shared by all processes of this launch. */
  private readonly shared: { isLater: boolean }
  private readonly listener: Launcher.Listener
  private readonly child: NodeProcess.ChildProcess
  private readonly directory: string | undefined
  private readonly connections: Array<Net.Socket>
  private exit: Exit | undefined
  private isOver = false
  /** The memory of the process when it became ready; set if its memory is to be watched. */
  private memory: Exhaustion.Usage | undefined
  private wasted = 0

  constructor(
    options: ChildOptions,
    shared: { isLater: boolean },
    place: number,
    directory: string | undefined,
    child: NodeProcess.ChildProcess,
    listener: Launcher.Listener
  ) {
    this.options = options
    this.shared = shared
    this.listener = listener
    this.directory = directory
    this.child = child
    this.name = `${options.title} ${place} (process ${child.pid})`
    this.connections = this.child.stdio.slice(Messages.firstConnection) as Array<Net.Socket>
    this.observe()
    let own: unknown
    try {
      own = options.options({ directory: this.directory, memory: options.memory, isLater: shared.isLater })
      this.begin(place, own)
    } catch (cause) {
      setImmediate(() => listener.failed(Cloning.problem(own, cause)))
    }
  }

  private begin(place: number, own: unknown): void {
    const { beatMillis, cancelGraceMillis, connections, module, notes, title } = this.options
    this.tell({
      _tag: "Start",
      module,
      options: own,
      connections,
      title: `${title} ${place}`,
      beatMillis,
      cancelGraceMillis,
      notes
    })
  }

  private observe(): void {
    const { child, listener } = this
    child.on("message", (message) => this.told(message as Messages.FromChild))
    child.once("disconnect", () => {
      listener.disconnected()
      if (this.exit !== undefined) this.over(this.exit)
    })
    child.on("error", (error) => listener.failed(error.message))
    child.once("exit", (code, signal) => {
      this.exit = { code, signal }
      if (!child.connected) this.over(this.exit)
      else setTimeout(() => this.over({ code, signal }), lastWordsMillis).unref()
    })
    for (const output of [child.stdout, child.stderr]) Output.relay(output, listener)
    for (const socket of this.connections) socket.on("error", () => {})
  }

  private told(message: Messages.FromChild): void {
    if (message._tag === "Ready") return void this.limit()
    Messages.tell(this.listener, message)
    if (message._tag === "Beat") this.watchMemory()
  }

  commit(token: number): void {
    this.tell({ _tag: "Commit", token })
  }

  /** Called with each heartbeat. */
  private watchMemory(): void {
    const { memory: ready, options } = this
    const now = ready && MemoryLimit.usageOf(this.child.pid ?? 0)
    if (now === undefined || ready === undefined) return
    this.wasted = Exhaustion.count(this.wasted, ready, now, options.memory)
    if (this.wasted * options.beatMillis >= exhaustedMillis) this.listener.exhausted()
  }

  private async limit(): Promise<void> {
    const usage = MemoryLimit.usageOf(this.child.pid ?? 0)
    const problem = await MemoryLimit.grant(this.child.pid ?? 0, this.options.memory)
    if (
      problem !== undefined &&
      this.exit === undefined &&
      this.options.memory !== Number.POSITIVE_INFINITY
    ) {
      this.listener.logged({ level: "Warn", message: `its memory has no limit of its own: ${problem}` })
    }
    const { isReplaceable, memory } = this.options
    if (problem === undefined && isReplaceable && memory !== Number.POSITIVE_INFINITY) this.memory = usage
    this.shared.isLater = true
    this.listener.ready()
  }

  private tell(message: Messages.ToChild): void {
    if (!this.child.connected) return
    // A child that has ended is no reason to fail.
    this.child.send(message, () => {})
  }

  readonly connection: Transport.Open = Effect.suspend(() => {
    const socket = this.connections.pop()
    return socket === undefined
      ? Effect.die(new Error("A process has no connection left"))
      : Tcp.fromPipe(socket)
  })

  ask(): void {
    this.tell({ _tag: "End" })
  }

  kill(): void {
    this.child.kill("SIGKILL")
  }

  /** The process has ended, and its last messages have been read. */
  private over(exit: Exit): void {
    if (this.isOver) return
    this.isOver = true
    for (const socket of this.connections) socket.destroy()
    remove(this.directory)
    this.listener.exited(exit)
  }
}

/**
 * Throws if so many descriptors are not available. Node leaks those it has opened for a child
 * when the rest fail.
 */
const checkDescriptors = (count: number): void => {
  const held: Array<number> = []
  try {
    while (held.length < count) held.push(openSync(devNull, "r"))
  } finally {
    for (const descriptor of held) closeSync(descriptor)
  }
}

/** Where a process is started: in this one's directory, or in the root if that is gone: Node needs one. */
const workingDirectory = (): string => {
  try {
    const own = process.cwd()
    accessSync(own, constants.X_OK)
    return own
  } catch {
    return parse(process.execPath).root
  }
}

const start = ({ command, connections }: Options): NodeProcess.ChildProcess => {
  const [file, ...args] = command
  const program = fileURLToPath(Program.engine())
  checkDescriptors(2 * (connections + Messages.firstConnection))
  return NodeProcess.spawn(file, [...args, program], {
    stdio: ["ignore", "pipe", "pipe", "ipc", ...Array.from({ length: connections }, () => "pipe" as const)],
    serialization: "advanced",
    cwd: workingDirectory()
  })
}
