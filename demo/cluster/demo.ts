import { perform } from '../stage.ts'
import { Plot } from './plot.ts'
import { startServices } from './services.ts'

/**
 * `npm run demo:cluster [-- --keep]`: an exchange on three nodes, with a real Consul, Redis and S3 server. Its primary
 * is killed, a replica leads, an empty node joins. The exit code is 0 if every proof held, otherwise 1.
 */

process.exitCode = await perform(async (stage) => {
  stage.story.title('ltxd: an exchange on three nodes')
  const services = await startServices(stage)
  await new Plot(stage, services).run()
})
