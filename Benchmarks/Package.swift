// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// A package of its own, so that what is measured is what a user gets: the library through its module boundary.
let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "Perennial", path: ".."),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    ],
    targets: [
        .target(name: "CountedAllocations"),
        .executableTarget(
            name: "memory-hits",
            dependencies: [.product(name: "Perennial", package: "Perennial"), "CountedAllocations"],
            path: "Sources/MemoryHits", swiftSettings: settings),
        .executableTarget(
            name: "hit-ratio", dependencies: [.product(name: "Perennial", package: "Perennial")],
            path: "Sources/HitRatio", swiftSettings: settings),
        .executableTarget(
            name: "queue",
            dependencies: [
                .product(name: "Perennial", package: "Perennial"),
                .product(name: "PerennialPostgres", package: "Perennial"),
                .product(name: "PerennialRedis", package: "Perennial"),
                .product(name: "PerennialSQLite", package: "Perennial"),
            ],
            path: "Sources/Queue", swiftSettings: settings),
        .executableTarget(
            name: "bare-nio",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/BareNIO", swiftSettings: settings),
    ]
)
