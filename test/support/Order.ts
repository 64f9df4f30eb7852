/**
 * The order of test files: the longest first, so that no worker is left with one of them when the others have ended.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node"

const longest = [
  "cli/serve",
  "package/Package",
  "gateway/Console",
  "cli/rights",
  "model/Exploration",
  "fuzz/Fuzz"
]

const rank = ({ moduleId }: TestSpecification): number => {
  const place = longest.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`))
  return place < 0 ? longest.length : place
}

export default class Order extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const sorted = await super.sort(files)
    const projects = [...new Set(sorted.map(({ project }) => project.name))]
    return projects.flatMap((name) =>
      sorted.filter(({ project }) => project.name === name).sort((a, b) => rank(a) - rank(b))
    )
  }
}
