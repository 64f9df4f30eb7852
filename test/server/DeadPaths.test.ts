import { assert, describe, it } from "@effect/vitest"
import * as TcpTable from "../../src/net/TcpTable.ts"
import { DeadPaths } from "../../src/server/DeadPaths.ts"

/** A socket, and the paths that watch it. */
const watched = () => {
  const ends = { localPort: 1, remoteAddress: "10.0.0.1", remotePort: 2 }
  const errors: Array<string> = []
  const paths = new DeadPaths(30_000)
  const socket = { ...ends, destroy: ({ message }: Error) => errors.push(message) }
  paths.watch(socket)
  const key = TcpTable.keyOf(ends) ?? ""
  const look = (seconds: number, attempts: number) =>
    paths.look(attempts === 0 ? [] : [{ key, attempts }], seconds * 1000)
  return { errors, look, paths, socket }
}

describe("a connection", () => {
  it("ends when its client has acknowledged nothing for peerTimeout", () => {
    const { errors, look, paths } = watched()
    for (const [at, attempts] of [
      [0, 3],
      [10, 4],
      [29, 6]
    ] as const)
      look(at, attempts)
    assert.deepStrictEqual(errors, [])
    look(30, 7)
    assert.lengthOf(errors, 1)
    assert.include(errors[0] ?? "", "peerTimeout")
    assert.strictEqual(paths.size, 0)
  })

  it("stays when it has been answered in between, however bad the path is", () => {
    const { errors, look } = watched()
    for (let at = 0; at < 600; at += 5) look(at, at % 25 === 0 ? 0 : 1 + (at % 25) / 5)
    for (let at = 600; at < 1200; at += 5) look(at, 1 + ((at / 5) % 4))
    // The same attempt each time: one that has just been made for something new.
    for (let at = 1200; at < 1800; at += 5) look(at, 1)
    assert.deepStrictEqual(errors, [])
  })

  it("is not looked for when it has closed, and others are left alone", () => {
    const { errors, look, paths, socket } = watched()
    paths.look([{ key: "another", attempts: 1 }], 0)
    look(0, 1)
    paths.forget(socket)
    look(60, 9)
    assert.deepStrictEqual(errors, [])
  })

  it("is looked for when the system's counter has grown, while it is silent, and where there is no counter", () => {
    const { look, paths } = watched()
    assert.deepStrictEqual(
      [5, 5, 6, 6, undefined, undefined].map((failures) => paths.mayTell(failures)),
      [true, false, true, false, true, true]
    )
    assert.isTrue(paths.mayTell(7))
    look(0, 1)
    assert.isTrue(paths.mayTell(7))
    look(5, 0)
    assert.isFalse(paths.mayTell(7))
  })
})
