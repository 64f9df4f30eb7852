/** Fails where Node is too old, before a module is loaded that takes more of it. `bin` says the same. */
const minimum = [22, 19] as const
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < minimum[0] || (major === minimum[0] && minor < minimum[1])) {
  throw new Error(`dataconn needs Node ${minimum.join(".")} or newer; this is ${process.version}.`)
}

export {}
