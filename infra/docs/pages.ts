/** The pages under docs/ that are made from code. `npm run docs` writes them; a test compares. */

import { commandsPage } from './commands.ts'
import { configurationPage } from './configuration.ts'
import { metricsPage } from './metrics.ts'

export const GENERATED_PAGES: Readonly<Record<string, () => string | Promise<string>>> = {
  'docs/commands.md': commandsPage,
  'docs/configuration.md': configurationPage,
  'docs/metrics.md': metricsPage,
}
