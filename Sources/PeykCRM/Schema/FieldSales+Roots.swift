import PeykModel

extension FieldSales {
    private static var placing: [Field] {
        [
            reference("territory_id", to: "territory", .review, "Territory", "منطقه"),
            reference("owner_id", to: "user", .review, "Owner", "مسئول"),
            field("collaborators", .set, .set, "Collaborators", "همکاران"),
        ]
    }

    /// One cell: an address of which half is another's is no address.
    private static var address: [Field] {
        [
            field("country", .text, .lww, "Country", "کشور", group: "address"),
            field("province", .text, .lww, "Province", "استان", group: "address"),
            field("city", .text, .lww, "City", "شهر", group: "address"),
            field("street", .text, .lww, "Street", "نشانی", group: "address"),
            field("postal_code", .text, .lww, "Postal code", "کد پستی", group: "address"),
            field("latitude", .double, .lww, "Latitude", "عرض جغرافیایی", group: "address"),
            field("longitude", .double, .lww, "Longitude", "طول جغرافیایی", group: "address"),
        ]
    }

    private static let customerFields: [Field] =
        [
            field("name", .text, .review, "Name", "نام", required: true),
            field("legal_id", .text, .lww, "Legal id", "شناسه ملی"),
            field(
                "kind", .enumeration(["company", "person"]), .lww, "Kind", "نوع", default: .text("company")),
            field(
                "type", .enumeration(["prospect", "customer", "partner", "reseller", "former"]), .lww, "Type", "گونه",
                default: .text("prospect")),
        ] + placing + [
            field("industry", .text, .lww, "Industry", "صنعت"),
            field("employees", .integer, .lww, "Employees", "کارکنان"),
        ] + money("revenue", currency: "revenue_currency", .lww, "Annual revenue", "درآمد سالانه") + [
            field("year_established", .integer, .lww, "Established", "سال تأسیس"),
            field("location", .text, .lww, "Head office", "دفتر مرکزی"),
            reference("parent_id", to: "customer", .lww, "Parent company", "شرکت مادر", hard: false),
            field("website", .text, .lww, "Website", "وبگاه"),
            field("phones", .set, .set, "Phones", "تلفن‌ها"),
            field("emails", .set, .set, "Emails", "رایانامه‌ها"),
        ] + address + [
            field("vip", .bool, .lww, "VIP", "ویژه", group: "vip"),
            field("vip_reason", .text, .lww, "VIP reason", "دلیل ویژه بودن", group: "vip"),
            reference("support_owner_id", to: "user", .lww, "Support person", "پشتیبان"),
            field("tags", .set, .set, "Tags", "برچسب‌ها"),
            field("description", .text, .text, "Description", "توضیح"),
            field("visits", .integer, .counter, "Visits", "بازدیدها", required: true, default: .integer(0)),
            field("first_contact_at", .instant, .min, "First contact", "نخستین تماس"),
            field("last_activity_at", .instant, .max, "Last activity", "آخرین فعالیت"),
            // The restrictive value stands against a concurrent permissive one.
            field("do_not_contact", .bool, .max, "Do not contact", "تماس نگیرید", default: .integer(0)),
        ] + money("credit_limit", currency: "credit_currency", .server, "Credit limit", "سقف اعتبار")
        + origin + [archived]

    static let customer = Table(
        "customer",
        .root(
            AudienceFields(territory: "territory_id", owner: "owner_id", collaborators: "collaborators"), lends: nil),
        fields: customerFields, unique: [["legal_id"]], labels: labels("Customer", "مشتری"))

    private static let opportunityFields: [Field] =
        [
            field("name", .text, .lww, "Name", "نام", required: true),
            // Lends its customer to whoever sees the opportunity (rule S2); may be unknown yet.
            reference("customer_id", to: "customer", .review, "Customer", "مشتری"),
        ] + placing + [
            field(
                "stage_id", .reference(table: "stage"), .rank, "Stage", "مرحله", required: true, hard: true,
                rank: Field.Rank(order: "position", kind: "kind"))
        ] + money("amount", currency: "currency", .review, "Amount", "مبلغ") + [
            // A hand-set probability counts only in the stage it was set in.
            field("probability", .integer, .lww, "Probability (%)", "احتمال (٪)", group: "probability"),
            field(
                "probability_stage_id", .reference(table: "stage"), .lww, "Probability set in", "مرحله احتمال",
                group: "probability"),
            field("close_date", .date, .review, "Expected close", "تاریخ بستن"),
            field("closed_on", .date, .lww, "Closed on", "بسته‌شده در"),
            // When work on it began, where that is not when it was typed in: reports count its age from here.
            field("opened_at", .instant, .min, "Opened", "زمان آغاز"),
            reference("product_id", to: "product", .lww, "Product", "محصول"),
        ] + money("cost", currency: "cost_currency", .lww, "Cost", "هزینه") + [
            field("next_step", .text, .lww, "Next step", "گام بعدی", group: "next_step"),
            field("next_step_due", .date, .lww, "Next step due", "موعد گام بعدی", group: "next_step"),
            field("loss_reason", .text, .lww, "Loss reason", "دلیل باخت", group: "loss"),
            field("loss_note", .text, .lww, "Loss note", "شرح باخت", group: "loss"),
            field("competitors", .set, .set, "Competitors", "رقبا"),
            field("tags", .set, .set, "Tags", "برچسب‌ها"),
            field("description", .text, .text, "Description", "توضیح"),
            field("visits", .integer, .counter, "Visits", "بازدیدها", required: true, default: .integer(0)),
            field("last_activity_at", .instant, .max, "Last activity", "آخرین فعالیت"),
        ] + origin + [archived]

    static let opportunity = Table(
        "opportunity",
        .root(
            AudienceFields(territory: "territory_id", owner: "owner_id", collaborators: "collaborators"),
            lends: "customer_id"),
        fields: opportunityFields, labels: labels("Opportunity", "فرصت فروش"))
}
