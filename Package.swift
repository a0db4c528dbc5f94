// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "Perennial",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Perennial", targets: ["Perennial"]),
        .library(name: "PerennialTesting", targets: ["PerennialTesting"]),
        .library(name: "PerennialSQLite", targets: ["PerennialSQLite"]),
        .library(name: "PerennialRedis", targets: ["PerennialRedis"]),
        .library(name: "PerennialPostgres", targets: ["PerennialPostgres"]),
        .library(name: "PerennialCelery", targets: ["PerennialCelery"]),
        .library(name: "PerennialMongoDB", targets: ["PerennialMongoDB"]),
        .library(name: "PerennialHTTP", targets: ["PerennialHTTP"]),
        .library(name: "PerennialGateway", targets: ["PerennialGateway"]),
        .library(name: "PerennialConsole", targets: ["PerennialConsole"]),
        .executable(name: "perennial", targets: ["perennial"]),
    ],
    // The engines that the executable is built with; `--disable-default-traits --traits Redis` leaves the others out.
    traits: [
        .default(enabledTraits: ["Celery", "MongoDB", "PostgreSQL", "Redis"]),
        .trait(name: "Celery", description: "celery+redis:// in the executable; needs hiredis"),
        .trait(name: "MongoDB", description: "mongodb:// in the executable; needs libmongoc"),
        .trait(name: "PostgreSQL", description: "postgres:// in the executable; needs libpq"),
        .trait(name: "Redis", description: "redis:// in the executable; needs hiredis"),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-http-structured-headers", from: "1.7.0"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.4.0",
            traits: [.defaults, "YAML", "CommandLineArguments"]),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .target(
            name: "Perennial",
            dependencies: [
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(name: "PerennialTesting", dependencies: ["Perennial"], swiftSettings: settings),
        .target(
            name: "PerennialSQLite",
            dependencies: [
                "Perennial",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(name: "PerennialConnections", dependencies: ["Perennial"], swiftSettings: settings),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"]), .brew(["hiredis"])]),
        .target(
            name: "PerennialRedis",
            dependencies: [
                "Perennial", "PerennialConnections", "CHiredis", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "PerennialCelery",
            dependencies: [
                "Perennial", "PerennialConnections", "PerennialRedis", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .systemLibrary(
            name: "CPostgres", pkgConfig: "libpq",
            providers: [.apt(["libpq-dev", "pkg-config"]), .brew(["libpq"])]),
        .target(
            name: "PerennialPostgres",
            dependencies: [
                "Perennial", "PerennialConnections", "CPostgres", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .systemLibrary(
            name: "CMongoc", pkgConfig: "libmongoc-1.0",
            providers: [.apt(["libmongoc-dev", "pkg-config"]), .brew(["mongo-c-driver@1"])]),
        .target(
            name: "PerennialMongoDB",
            dependencies: [
                "Perennial", "PerennialConnections", "CMongoc", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "PerennialHTTP",
            dependencies: [
                "Perennial",
                .product(name: "RawStructuredFieldValues", package: "swift-http-structured-headers"),
            ],
            swiftSettings: settings),
        .target(
            name: "PerennialGateway",
            dependencies: [
                "Perennial", "PerennialHTTP",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings),
        .target(
            name: "PerennialConsole",
            dependencies: [
                "Perennial", "PerennialHTTP",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .target(
            name: "PerennialEngines",
            dependencies: [
                "Perennial", "PerennialConnections", "PerennialSQLite",
                .target(name: "PerennialCelery", condition: .when(traits: ["Celery"])),
                .target(name: "PerennialMongoDB", condition: .when(traits: ["MongoDB"])),
                .target(name: "PerennialPostgres", condition: .when(traits: ["PostgreSQL"])),
                .target(name: "PerennialRedis", condition: .when(traits: ["Redis"])),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(name: "CStartUp"),
        .executableTarget(
            name: "perennial",
            dependencies: [
                "CStartUp", "Perennial", "PerennialConnections", "PerennialEngines", "PerennialSQLite", "PerennialHTTP",
                "PerennialGateway", "PerennialConsole",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: settings),
        .testTarget(name: "PerennialTests", dependencies: ["Perennial", "PerennialTesting"], swiftSettings: settings),
        .target(name: "TestServers", path: "Tests/Servers", swiftSettings: settings),
        .testTarget(
            name: "PerennialConnectionsTests", dependencies: ["PerennialConnections"], swiftSettings: settings),
        .testTarget(
            name: "EngineTests",
            dependencies: [
                "Perennial", "PerennialEngines", "PerennialTesting", "TestServers",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "fleet",
            dependencies: ["Perennial", "PerennialEngines", .product(name: "Logging", package: "swift-log")],
            path: "Tests/Fleet", swiftSettings: settings),
        .testTarget(name: "FleetTests", dependencies: ["fleet", "TestServers"], swiftSettings: settings),
        .testTarget(
            name: "PerennialSQLiteTests", dependencies: ["PerennialSQLite", "PerennialTesting"],
            swiftSettings: settings),
        .testTarget(
            name: "PerennialRedisTests", dependencies: ["PerennialRedis", "PerennialTesting", "TestServers"],
            swiftSettings: settings),
        .testTarget(
            name: "PerennialCeleryTests",
            dependencies: [
                "PerennialCelery", "PerennialConnections", "PerennialRedis", "PerennialTesting", "TestServers",
                .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["tasks.py"], swiftSettings: settings),
        .testTarget(
            name: "PerennialPostgresTests", dependencies: ["PerennialPostgres", "PerennialTesting", "TestServers"],
            swiftSettings: settings),
        .testTarget(
            name: "PerennialMongoDBTests", dependencies: ["PerennialMongoDB", "PerennialTesting", "TestServers"],
            swiftSettings: settings),
        .target(
            name: "Fuzzing",
            dependencies: [
                "Perennial", "PerennialGateway", "PerennialHTTP",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            path: "Tests/Fuzzing", swiftSettings: settings),
        .executableTarget(name: "fuzz", dependencies: ["Fuzzing"], path: "Tests/Fuzz", swiftSettings: settings),
        .testTarget(
            name: "PerennialHTTPTests", dependencies: ["PerennialHTTP", "PerennialTesting"], swiftSettings: settings),
        .testTarget(
            name: "PerennialGatewayTests",
            dependencies: [
                "Fuzzing", "PerennialGateway", "PerennialTesting",
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "perennial", "PerennialConsole", "PerennialEngines", "PerennialGateway", "PerennialHTTP",
                "PerennialSQLite", "PerennialTesting", "TestServers",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "Yams", package: "Yams"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings),
    ]
)
