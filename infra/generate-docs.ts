/** `npm run docs`: writes the generated pages. */

import { writeFileSync } from 'node:fs'
import { GENERATED_PAGES } from './docs/pages.ts'

for (const [path, make] of Object.entries(GENERATED_PAGES)) {
  writeFileSync(new URL(`../${path}`, import.meta.url), await make())
}
