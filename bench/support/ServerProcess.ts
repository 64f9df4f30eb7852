/**
 * What the servers of a bench have in common: where they listen, how often their heart beats, and what they
 * tell who started them. `SERVER [HEARTBEAT-SECONDS]`
 */

/** A port of the system's choice on loopback; enough room for thousands that connect at once. */
export const listen = { host: "127.0.0.1", port: 0, backlog: 4096 }

export const heartbeatSeconds = Number(process.argv[2] ?? 5)

/** Says that the server can be connected to. SIGUSR2 then makes it collect its garbage, for a look at what it holds. */
export const ready = (port: number): void => {
  process.on("SIGUSR2", () => {
    globalThis.gc?.()
    console.log("collected")
  })
  console.log(`port ${port}`)
}
