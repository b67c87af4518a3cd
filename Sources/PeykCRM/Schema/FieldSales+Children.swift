import PeykModel

extension FieldSales {
    static let contact = Table(
        "contact", .child(parents: ["customer_id"], owner: "owner_id"),
        fields: [
            field("name", .text, .lww, "Name", "نام", required: true),
            reference("customer_id", to: "customer", .lww, "Customer", "مشتری"),
            reference("owner_id", to: "user", .lww, "Owner", "مسئول"),
            field("title", .text, .lww, "Title", "سمت"),
            field("roles", .set, .set, "Roles", "نقش‌ها"),
            field("phones", .set, .set, "Phones", "تلفن‌ها"),
            field("emails", .set, .set, "Emails", "رایانامه‌ها"),
            field("birth_date", .date, .lww, "Birth date", "تاریخ تولد"),
            field("language", .text, .lww, "Language", "زبان"),
            field("do_not_contact", .bool, .max, "Do not contact", "تماس نگیرید", default: .integer(0)),
            // Channels that may not be used; a concurrent opt-out beats its removal.
            field("opt_outs", .set, .set, "Opted out of", "انصراف از"),
            field("tags", .set, .set, "Tags", "برچسب‌ها"),
            field("notes", .text, .text, "Notes", "یادداشت‌ها"),
        ] + origin + [archived],
        labels: labels("Contact", "مخاطب"))

    /// A log: a correction is a further row that names the one it corrects.
    static let activity = Table(
        "activity", .child(parents: ["opportunity_id", "contact_id", "customer_id"], owner: "user_id"),
        fields: [
            reference("opportunity_id", to: "opportunity", .once, "Opportunity", "فرصت فروش"),
            reference("contact_id", to: "contact", .once, "Contact", "مخاطب"),
            reference("customer_id", to: "customer", .once, "Customer", "مشتری"),
            reference("user_id", to: "user", .once, "By", "انجام‌دهنده"),
            field(
                "kind", .enumeration(["visit", "call", "message", "meeting"]), .once, "Kind", "نوع", required: true),
            field("channel", .text, .once, "Channel", "کانال"),
            field("direction", .enumeration(["in", "out"]), .once, "Direction", "جهت"),
            field("subject", .text, .once, "Subject", "موضوع"),
            field("body", .text, .once, "Text", "متن"),
            field("occurred_at", .instant, .once, "When", "زمان", required: true),
            field("duration_minutes", .integer, .once, "Minutes", "مدت (دقیقه)"),
            field("outcome", .text, .once, "Outcome", "نتیجه"),
            field("latitude", .double, .once, "Latitude", "عرض جغرافیایی", group: "place"),
            field("longitude", .double, .once, "Longitude", "طول جغرافیایی", group: "place"),
            reference("corrects_id", to: "activity", .once, "Corrects", "تصحیح", hard: false),
        ] + origin,
        appendOnly: true, labels: labels("Activity", "فعالیت"))

    /// A person's own list. What it refers to may move out of sight, so its references are soft.
    static let task = Table(
        "task", .private(owner: "assignee_id"),
        fields: [
            field("title", .text, .lww, "Title", "عنوان", required: true),
            reference("assignee_id", to: "user", .review, "Assignee", "مسئول", required: true),
            field(
                "status", .enumeration(["open", "done", "cancelled"]), .rank, "Status", "وضعیت",
                default: .text("open")),
            field(
                "priority", .enumeration(["low", "normal", "high"]), .lww, "Priority", "اولویت",
                default: .text("normal")),
            field("due_on", .date, .lww, "Due", "موعد"),
            field("remind_at", .instant, .lww, "Remind at", "یادآوری"),
            reference("customer_id", to: "customer", .lww, "Customer", "مشتری", hard: false),
            reference("contact_id", to: "contact", .lww, "Contact", "مخاطب", hard: false),
            reference("opportunity_id", to: "opportunity", .lww, "Opportunity", "فرصت فروش", hard: false),
            field("notes", .text, .text, "Notes", "یادداشت‌ها"),
            field("done_at", .instant, .lww, "Done", "انجام‌شده"),
        ] + origin,
        labels: labels("Task", "وظیفه"))
}
