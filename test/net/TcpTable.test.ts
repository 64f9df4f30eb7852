import { assert, describe, it } from "@effect/vitest"
import * as TcpTable from "../../src/net/TcpTable.ts"

const header =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
const table = (...rows: ReadonlyArray<string>) =>
  new TextEncoder().encode(header + rows.map((row) => `${row}\n`).join(""))

const four = (timer: string, repeats: string, probes = "0") =>
  `  12: 0100007F:1F90 0302010A:C350 01 00000005:00000000 ${timer}:00000123 ${repeats}  1000        ${probes} 12345 1 f603511a 100 0 0 10 0      `
const six = (remote: string, timer: string, repeats: string) =>
  `12345: 00000000000000000000000001000000:1F90 ${remote}:C350 01 00000005:00000000 ${timer}:00000123 ${repeats}     0        0 12345 1 f603511a`

const v4 = TcpTable.keyOf({ localPort: 8080, remoteAddress: "10.1.2.3", remotePort: 50_000 }) ?? ""

describe("the system's table of connections", () => {
  it("tells what was sent again, and how often", () => {
    const found = TcpTable.unanswered(table(four("00", "00000000"), four("01", "0000000A")), false)
    assert.deepStrictEqual(found, [{ key: v4, attempts: 10 }])
  })

  it("tells of windows that were asked for in vain", () => {
    const found = TcpTable.unanswered(table(four("04", "00000000", "3"), four("04", "00000000", "0")), false)
    assert.deepStrictEqual(found, [{ key: v4, attempts: 3 }])
  })

  it("says nothing of keepalive, of what is sent for the first time, or of an unfinished line", () => {
    const unfinished = table(four("01", "00000002")).slice(0, -30)
    assert.deepStrictEqual(
      TcpTable.unanswered(table(four("02", "00000000"), four("01", "00000000")), false),
      []
    )
    assert.deepStrictEqual(TcpTable.unanswered(unfinished, false), [])
    assert.deepStrictEqual(TcpTable.unanswered(new Uint8Array(0), false), [])
  })

  it("has a counter of what gets into it", () => {
    const netstat = (names: string, values: string) =>
      `TcpExt: SyncookiesSent ${names}\nTcpExt: 7 ${values}\nIpExt: InNoRoutes TCPTimeouts\nIpExt: 5 100\n`
    assert.strictEqual(TcpTable.failures(netstat("TCPTimeouts Other TCPWinProbe", "3 1000 4")), 7)
    assert.strictEqual(TcpTable.failures(netstat("TCPTimeouts TCPLossFailures TCPWinProbe", "3 2 4")), 9)
    for (const text of [
      "",
      netstat("Other", "1"),
      netstat("TCPWinProbe TCPTimeouts", ""),
      "TcpExt: TCPTimeouts"
    ])
      assert.isUndefined(TcpTable.failures(text))
  })

  it.each([
    ["B80D0120000000000000000001000000", "2001:db8::1"],
    ["B80D0120000000000000000001000000", "2001:0DB8:0:0::1"],
    ["000080FE00000000FF005450B6A9F3FE", "fe80::5054:ff:fef3:a9b6%eth0"],
    ["0000000000000000FFFF00000302010A", "::ffff:10.1.2.3"],
    ["0000000000000000FFFF00000302010A", "10.1.2.3"]
  ])("has %s for %s", (hex, remoteAddress) => {
    const [row] = TcpTable.unanswered(table(six(hex, "01", "00000001")), true)
    assert.strictEqual(row?.key, TcpTable.keyOf({ localPort: 8080, remoteAddress, remotePort: 50_000 }))
    assert.strictEqual(row?.attempts, 1)
  })

  it("knows no socket that is not connected", () => {
    assert.isUndefined(TcpTable.keyOf({ localPort: 8080 }))
  })
})
