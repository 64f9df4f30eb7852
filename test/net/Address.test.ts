import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Address from "../../src/net/Address.ts"

const tcp = (host: string, port: number) => ({ _tag: "Tcp", host, port }) as const
const unix = (path: string) => ({ _tag: "Unix", path }) as const

const longest = `/${"x".repeat(106)}`

describe("parse", () => {
  it.each([
    ["127.0.0.1:11653", tcp("127.0.0.1", 11653)],
    ["127.0.0.1:0", tcp("127.0.0.1", 0)],
    ["localhost:65535", tcp("localhost", 65535)],
    ["db-1.example.org", tcp("db-1.example.org", Address.defaultPort)],
    ["[::1]:4000", tcp("::1", 4000)],
    ["[::]", tcp("::", Address.defaultPort)],
    ["[::ffff:10.0.0.1]:1", tcp("::ffff:10.0.0.1", 1)],
    ["unix:/run/dataconn.sock", unix("/run/dataconn.sock")],
    ["unix:relative path", unix("relative path")],
    ["dataconn://db:1", tcp("db", 1)],
    ["dataconn://db/", tcp("db", Address.defaultPort)],
    ["dataconn://[::1]:5", tcp("::1", 5)],
    ["DataConn://db:1", tcp("db", 1)],
    ["unix:///run/x.sock", unix("/run/x.sock")],
    ["/run/x.sock", unix("/run/x.sock")],
    ["./x.sock", unix("./x.sock")],
    [`unix:${longest}`, unix(longest)]
  ])("reads %s", (text, address) => {
    assert.deepStrictEqual(Address.parse(text), Result.succeed(address))
  })

  it.each([
    ["", "it has no host"],
    [":4000", "it has no host"],
    ["two words:1", "it has no host"],
    ["host:", "the port is not a number"],
    ["host:http", "the port is not a number"],
    ["host:-1", "the port is not a number"],
    ["host:65536", "the port is above 65535"],
    ["a:1,b:2", "it has a comma, and one address is meant"],
    ["::1", "an IPv6 address stands in brackets"],
    ["1:2:3:4:5:6:7:8", "an IPv6 address stands in brackets"],
    ["[localhost]:1", "only an IPv6 address stands in brackets"],
    ["[]:1", "it has no host"],
    ["[::1", "it has no host"],
    ["http://db:1", "http:// is not spoken here"],
    ["dataconn://", "it has no host"],
    ["dataconn://db/trades", "it has no host"],
    ["unix:", "the path is empty"],
    [`unix:${longest}x`, "the path of a Unix socket may have at most 107 bytes"],
    [`unix:/${"é".repeat(54)}`, "the path of a Unix socket may have at most 107 bytes"]
  ])("says what is wrong with %j", (text, problem) => {
    const error = Result.getOrThrow(Result.flip(Address.parse(text)))
    assert.instanceOf(error, Address.AddressError)
    assert.strictEqual(
      error.message,
      `"${text}" is no address: ${problem} (expected HOST:PORT, [IPv6]:PORT, dataconn://HOST:PORT, unix:PATH or a path)`
    )
  })
})

describe("format", () => {
  it.each([
    [tcp("127.0.0.1", 0), "127.0.0.1:0"],
    [tcp("localhost", 11653), "localhost:11653"],
    [tcp("::1", 11653), "[::1]:11653"],
    [unix("/run/x.sock"), "unix:/run/x.sock"]
  ])("of %o is what parse reads back", (address, text) => {
    assert.strictEqual(Address.format(address), text)
    assert.deepStrictEqual(Address.parse(text), Result.succeed(address))
  })
})

describe("an input", () => {
  it("is an address, or the text of one", () => {
    const address = tcp("localhost", 1)
    assert.deepStrictEqual(Address.fromInput(address), Result.succeed(address))
    assert.deepStrictEqual(Address.fromInput("localhost:1"), Result.succeed(address))
    assert.deepStrictEqual(Address.fromInput(":1"), Address.parse(":1"))
  })
})
