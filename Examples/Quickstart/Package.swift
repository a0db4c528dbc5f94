// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Quickstart",
    platforms: [.macOS(.v15)],
    // Outside this repository: .package(url: "…/perennial", from: "0.1.0")
    dependencies: [.package(name: "Perennial", path: "../..")],
    targets: [
        .executableTarget(
            name: "Quickstart",
            dependencies: [
                .product(name: "Perennial", package: "Perennial"),
                .product(name: "PerennialSQLite", package: "Perennial"),
            ])
    ]
)
