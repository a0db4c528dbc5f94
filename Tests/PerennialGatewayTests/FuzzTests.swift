import Fuzzing
import Testing

/// A short run of what `fuzz` does for long.
@Suite struct FuzzTests {
    @Test(arguments: [1, 2, 3] as [UInt64]) func `every request that is taken has one meaning`(seed: UInt64) throws {
        var fuzzer = RequestFuzzer(seed: seed)
        for _ in 0..<3_000 { try fuzzer.tryOne() }
        #expect(fuzzer.taken > 300)
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func `what is read and written stays the same`(seed: UInt64) throws {
        var fuzzer = FieldFuzzer(seed: seed)
        for _ in 0..<5_000 { try fuzzer.tryOne() }
    }
}
