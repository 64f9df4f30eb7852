import { assert, describe, it } from "@effect/vitest"
import * as RemoteAddress from "../../src/net/RemoteAddress.ts"

describe("the address that a peer counts for", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::FFFF:c000:207", "192.0.2.7"],
    ["2001:db8:1:2::7", "2001:db8:1:2::/64"],
    ["2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002:0:0:0:1", "2001:db8:1:2::/64"],
    ["2001:db8:1:3::7", "2001:db8:1:3::/64"],
    ["2001:db8::7", "2001:db8:0:0::/64"],
    ["64:ff9b::192.0.2.7", "64:ff9b:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80::1%eth0"],
    ["fe80::2%eth0", "fe80::2%eth0"],
    [undefined, "unknown"]
  ])("%s is %s", (given, address) => {
    assert.strictEqual(RemoteAddress.of(given), address)
  })
})
