import { testEngine } from 'fragcache/testing'
import { describe, it } from 'vitest'
import { etaEngine, handlebarsEngine, nunjucksEngine } from './engines-under-test.js'

testEngine('the cache tag of Nunjucks', nunjucksEngine, { describe, it })
testEngine('the cache tag of Handlebars', handlebarsEngine, { describe, it })
testEngine('the cache tag of Eta', etaEngine, { describe, it })
