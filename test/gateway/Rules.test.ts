/**
 * Which back-end a query goes to, and what can be told of its text.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Rules from "../../src/gateway/Rules.ts"
import * as SqlWords from "../../src/gateway/SqlWords.ts"

const subject = (more: Partial<Rules.Subject> = {}): Rules.Subject => ({
  query: "SELECT * FROM trades",
  target: undefined,
  token: undefined,
  tenant: undefined,
  headers: {},
  ...more
})

describe("a rule", () => {
  const rules: Rules.Rules = {
    rules: [
      { target: "eu", backend: "one" },
      { token: ["alice", "b*"], backend: "two" },
      { tenant: "acme", header: { "X-Region": "us-*" }, backend: "three" },
      { table: ["logs.*", "Quotes"], backend: "four" }
    ]
  }

  it.each([
    [{ target: "eu", token: "alice" }, "one"],
    [{ target: "e" }, undefined],
    [{ token: "bob" }, "two"],
    [{ token: "carol" }, undefined],
    [{ tenant: "acme", headers: { "x-region": "us-east" } }, "three"],
    [{ tenant: "acme", headers: { "x-region": "eu" } }, undefined],
    [{ tenant: "acme" }, undefined],
    [{ query: "FROM logs.today" }, "four"],
    [{ query: "SELECT 'quotes' FROM trades" }, undefined],
    [{ query: 'select * from trades join "quotes" using (ts)' }, "four"]
  ] as const)("decides %j: %s", (more, backend) => {
    assert.strictEqual(Rules.decide(rules, subject(more)), backend)
  })

  it("takes the characters of a pattern as they are, but for the asterisk", () => {
    const one = { rules: [{ target: "a.c*", backend: "x" }] }
    assert.isUndefined(Rules.decide(one, subject({ target: "abc" })))
    assert.strictEqual(Rules.decide(one, subject({ target: "a.c.d" })), "x")
  })

  it("names a back-end that there is", () => {
    assert.strictEqual(Rules.problemOf(rules, ["one", "two", "three"]), "there is no back-end four")
    assert.isUndefined(Rules.problemOf({ rules: [], default: "one" }, ["one"]))
  })

  it("and a token that can have no effect are told", () => {
    const token = { name: "alice", tenant: "acme", targets: ["eu", "one", "mian"] }
    assert.deepStrictEqual(Rules.idle(rules, [token], ["one"]), [
      "httpTokens: alice: the target mian is no back-end's and no rule's"
    ])
    const told = Rules.idle(rules, [], ["one"])
    assert.lengthOf(told, 2)
    assert.match(told.join(), /rules\.1 never holds.*rules\.2 never holds/)
  })

  it("without conditions is the last one", () => {
    const any: Rules.Rule = { backend: "one", header: {} }
    const some: Rules.Rule = { backend: "one", table: "a" }
    assert.match(Rules.problemOf({ rules: [some, any, some] }, ["one"]) ?? "", /^rules\.1: /)
    assert.isUndefined(Rules.problemOf({ rules: [some, any] }, ["one"]))
  })
})

describe("the tables of a query", () => {
  it.each([
    ["FROM a", ["a"]],
    ["SELECT 1 FROM a, b AS c, main.D WHERE x IN (SELECT y FROM e, f)", ["a", "b", "d", "e", "f", "main.d"]],
    ["SELECT f(a, b) FROM range(10) t, x", ["x"]],
    ["INSERT INTO a SELECT * FROM 'file.csv'", ["a"]],
    ["SELECT '-- FROM a', $$ FROM b $$, $x$ FROM c $x$ /* FROM d */ -- FROM e\n FROM g", ["g"]],
    ["WITH w AS (SELECT * FROM a) SELECT a.b, c FROM w ORDER BY d, e", ["a", "w"]],
    ['SELECT * FROM "A b"."c""d" LEFT JOIN LATERAL e ON true', ['a b.c"d', 'c"d', "e"]]
  ] as const)("of %s", (query, tables) => {
    assert.deepStrictEqual([...SqlWords.tables(query)].sort(), [...tables].sort())
  })
})

describe("a query that would change something", () => {
  it.each([
    ["INSERT INTO a VALUES (1)", "insert"],
    ["  -- harmless\n/* so */ delete from a", "delete"],
    ["WITH w AS (SELECT 1) UPDATE a SET b = 1", "update"],
    ["WITH w AS (DELETE FROM a RETURNING *) SELECT * FROM w", "delete"],
    ["SELECT 1; DROP TABLE a", "drop"],
    ["EXPLAIN ANALYZE INSERT INTO a SELECT 1", "insert"],
    ["SELECT * INTO b FROM a", "into"],
    ["SELECT 'x'';' ; COPY a TO 'b'", "copy"],
    ["SELECT load, \"delete\", 'INSERT INTO' FROM drop_log -- ; drop table a", undefined],
    ["FROM a SELECT update_time", undefined]
  ] as const)("%s", (query, word) => {
    assert.strictEqual(SqlWords.writes(query), word)
  })
})
