internal import Fuzzing

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// `fuzz COUNT [SEED]`: tries as many requests and as many fields, the same for the same seed. Ends with status 1 at the first finding.
@main enum Fuzz {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst().map { UInt64($0) }
        guard (1...2).contains(arguments.count), let count = arguments[0],
            let seed = arguments.count == 1 ? 1 : arguments[1]
        else {
            print("usage: fuzz COUNT [SEED]")
            exit(64)
        }
        var (requests, fields) = (RequestFuzzer(seed: seed), FieldFuzzer(seed: seed))
        do {
            for number in 1...max(1, count) {
                try requests.tryOne()
                try fields.tryOne()
                if number % 100_000 == 0 {
                    print("\(number) of each, \(requests.taken) requests taken")
                    fflush(nil)
                }
            }
            print(
                "seed \(seed): \(count) connections (\(requests.taken) requests taken) and \(count) fields: nothing found"
            )
        } catch {
            print("seed \(seed): \(error)")
            exit(1)
        }
    }
}
