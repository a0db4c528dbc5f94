extension OriginGuard {
    /// A circuit breaker. What counts as a failure is an error that a fetch throws, a time-out included, unless it says
    /// otherwise (``OriginError/scope``).
    ///
    /// Failures are judged as a share of the requests in a sliding window, and put down to the smallest scope that
    /// explains them:
    /// - An address (a cache's key) is left alone when at least `addressMinimum` requests for it have ended in the
    ///   window since its first failure and at least `share` of them failed.
    /// - The origin is left alone when at least `minimum` requests to it have ended in the window, at least `share` of
    ///   them failed, and the failures are of `endpoints` different endpoints, or say as often that they are about the
    ///   origin: it can't be connected to.
    ///
    /// Then nothing is asked for `pause`. After it one request at a time tries. When it succeeds, all is as before;
    /// when it fails, the pause doubles up to `maximum`. While the whole origin is tried, the failure of one address is
    /// put down to that address, and others are tried until as many endpoints have failed.
    public struct Breaker: Hashable, Sendable {
        /// From more than 0 to 1. Default: 0.5.
        public let share: Double
        /// Requests in the window from which on the origin is judged. Default: 10.
        public let minimum: Int
        /// Requests in the window from which on an address is judged. Default: 5.
        public let addressMinimum: Int
        /// How many endpoints must fail before the origin as a whole is taken to. Default: 3.
        public let endpoints: Int
        /// The length of the sliding window. Default: 30 seconds.
        public let window: Duration
        /// Default: 5 seconds.
        public let pause: Duration
        /// Default: 1 minute.
        public let maximum: Duration

        /// - Throws: ``PolicyError`` for numbers out of range.
        public init(
            share: Double = 0.5, minimum: Int = 10, addressMinimum: Int = 5, endpoints: Int = 3,
            window: Duration = .seconds(30), pause: Duration = .seconds(5), maximum: Duration = .minutes(1)
        ) throws(PolicyError) {
            guard share > 0, share <= 1 else {
                throw PolicyError("a breaker's share is \(share); it must be more than 0 and at most 1")
            }
            for (name, number) in [
                ("minimum", minimum), ("addressMinimum", addressMinimum), ("endpoints", endpoints),
            ] where number < 1 {
                throw PolicyError("a breaker's \(name) is \(number); it must be at least 1")
            }
            guard window >= .milliseconds(10) else {
                throw PolicyError("a breaker's window is \(window); it must be at least 10 milliseconds")
            }
            guard pause >= .milliseconds(1), pause <= maximum else {
                throw PolicyError(
                    "a breaker's pause (\(pause)) must be at least 1 millisecond and at most maximum (\(maximum))")
            }
            self.init(checked: share, minimum, addressMinimum, endpoints, window, pause, maximum)
        }

        private init(
            checked share: Double, _ minimum: Int, _ addressMinimum: Int, _ endpoints: Int, _ window: Duration,
            _ pause: Duration, _ maximum: Duration
        ) {
            self.share = share
            self.minimum = minimum
            self.addressMinimum = addressMinimum
            self.endpoints = endpoints
            self.window = window
            self.pause = pause
            self.maximum = maximum
        }

        /// Every default.
        public static let standard = Breaker(
            checked: 0.5, 10, 5, 3, .seconds(30), .seconds(5), .minutes(1))
    }
}
