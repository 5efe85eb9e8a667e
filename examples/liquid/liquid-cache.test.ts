import { testEngine } from 'fragcache/testing'
import { deferredLiquidEngine, liquidEngine } from './engine-under-test.js'

testEngine('the cache tag of LiquidJS', liquidEngine)
testEngine('the cache tag of LiquidJS, put off', deferredLiquidEngine)
